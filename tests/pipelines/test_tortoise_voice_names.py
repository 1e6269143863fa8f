"""A voice is found by its path or by its name, and what cannot be one is named with what there is."""

from pathlib import Path

import pytest

from building.sounds import record, vowel
from building.tortoise_voices import recordings, voice
from retimbre.errors import DataError
from retimbre.pipelines.tortoise_voice_files import save_voice
from retimbre.pipelines.tortoise_voice_names import find_voice, find_voices, voice_names


@pytest.fixture
def folder(tmp_path):
    """emma: recordings; geralt: a folder of a saved voice; ann.pth, bob.safetensors; a folder of neither."""
    voices = tmp_path / "voices"
    recordings(voices / "emma")
    (voices / "emma" / "transcript.txt").write_text("words")
    (voices / "emma" / "._0.wav").write_text("what macOS adds")
    save_voice(voice(), voices / "geralt" / "latents.pth")
    save_voice(voice(), voices / "ann.pth")
    save_voice(voice(), voices / "bob")
    (voices / "empty").mkdir()
    (voices / "notes.txt").write_text("words")
    return voices


def test_a_name_below_a_folder_is_recordings_or_a_saved_voice(folder):
    emma = find_voice("emma", folders=[folder])
    assert (emma.name, emma.file, emma.is_random) == ("emma", None, False)
    assert [path.name for path in emma.recordings] == ["0.wav", "1.wav"]
    for name, file in (("geralt", "geralt/latents.pth"), ("ann", "ann.pth"), ("bob", "bob.safetensors")):
        found = find_voice(name, folders=[folder])
        assert (found.name, found.recordings, found.file) == (name, (), folder / file)


def test_the_first_folder_that_has_the_name_counts(folder, tmp_path):
    save_voice(voice(), tmp_path / "mine" / "emma.pth")

    mine = find_voice("emma", folders=[tmp_path / "none", tmp_path / "mine", folder])

    assert mine.file == tmp_path / "mine" / "emma.pth"


def test_a_path_is_a_folder_a_saved_voice_or_one_recording(folder, monkeypatch):
    assert len(find_voice(str(folder / "emma"), folders=[]).recordings) == 2
    assert find_voice(str(folder / "ann.pth"), folders=[]).file == folder / "ann.pth"
    alone = find_voice(str(folder / "emma" / "1.wav"), folders=[])
    assert (alone.name, alone.recordings) == ("1", (folder / "emma" / "1.wav",))
    monkeypatch.chdir(folder / "emma")
    assert find_voice(".", folders=[]).name == "emma"


def test_endings_may_be_in_capitals(tmp_path):
    record(tmp_path / "loud", {"a": vowel(0.3, f0_hz=100, seed=1)})
    (tmp_path / "loud" / "a.wav").rename(tmp_path / "loud" / "A.WAV")

    assert len(find_voice("loud", folders=[tmp_path]).recordings) == 1


def test_random_is_nobodys_voice_and_a_folder_of_that_name_has_a_path(folder, monkeypatch):
    recordings(folder / "random")
    monkeypatch.chdir(folder)

    assert find_voice("random", folders=[folder]).is_random
    assert find_voice("./random", folders=[folder]).recordings


def test_several_are_named_with_an_ampersand_and_a_path_may_hold_one(folder, tmp_path):
    found = find_voices("emma & ann&random", folders=[folder])
    assert [each.name for each in found] == ["emma", "ann", "random"]
    recordings(tmp_path / "him&her")

    (one,) = find_voices(str(tmp_path / "him&her"), folders=[])

    assert one.name == "him&her"


def test_an_unknown_name_is_answered_with_those_that_there_are(folder):
    with pytest.raises(DataError) as caught:
        find_voice("gerald", folders=[folder])

    line = str(caught.value)
    assert "there is no voice 'gerald'" in line
    assert "ann, bob, emma, empty, geralt" in line
    assert "notes" not in line
    assert line.endswith("Write geralt")


@pytest.mark.parametrize("wanted", ["", "&", "emma&", "../voices/x", "x" * 5000, "a\0b"])
def test_what_is_no_name_is_refused(folder, wanted):
    with pytest.raises(DataError, match="there is no voice"):
        find_voices(wanted, folders=[folder])


def test_a_name_does_not_lead_out_of_the_folders(folder, tmp_path, monkeypatch):
    (folder / "inner").mkdir()
    monkeypatch.chdir(tmp_path)

    with pytest.raises(DataError, match="there is no voice"):
        find_voice("../emma", folders=[folder / "inner"])


def test_a_folder_without_a_voice_is_refused_by_what_is_missing(folder):
    with pytest.raises(DataError, match=r"empty is no voice: expected recordings \(\.wav, .*found none"):
        find_voice("empty", folders=[folder])


@pytest.mark.parametrize("more", ["recording", "voice"])
def test_a_folder_that_could_be_two_voices_is_refused(folder, more):
    if more == "recording":
        record(folder / "geralt", {"a": vowel(0.3, f0_hz=100, seed=1)})
    else:
        save_voice(voice(), folder / "geralt" / "second")

    with pytest.raises(DataError, match=r"geralt is no voice.*latents\.pth.*Keep"):
        find_voice("geralt", folders=[folder])


def test_a_folder_that_may_not_be_looked_into_is_named(folder, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)

    with pytest.raises(DataError, match="emma cannot be looked into: found Permission denied"):
        find_voice("emma", folders=[folder])


def test_the_names_of_several_folders_are_one_list(folder, tmp_path):
    save_voice(voice(), tmp_path / "mine" / "zoe")
    save_voice(voice(), tmp_path / "mine" / "ann")

    names = voice_names([folder, tmp_path / "mine", tmp_path / "none"])

    assert names == ("ann", "bob", "emma", "empty", "geralt", "zoe")

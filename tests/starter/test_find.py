"""The bundled files are found, and the speech pack is what its README says."""

import re

import numpy as np
import pytest
import soundfile as sf

from retimbre.errors import CheckpointError, DataError
from retimbre.starter import find
from retimbre.starter.find import speech_pack, starter_spec_to_wav, starter_text_to_spec

LINES = speech_pack().filelist.read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("line", LINES, ids=lambda line: line.split("|")[0])
def test_every_text_is_plain_and_has_a_sound_recording(line):
    name, text, normalised = line.split("|")
    samples, sample_rate_hz = sf.read(speech_pack().recordings / f"{name}.flac")

    assert text == normalised
    assert re.fullmatch(r"[A-Za-z.,?!' -]+", text)
    assert (samples.ndim, sample_rate_hz) == (1, 16_000)
    assert 2.0 < len(samples) / sample_rate_hz < 6.0
    assert 0.3 < np.abs(samples).max() < 0.9
    assert -25 < 10 * np.log10(np.mean(samples**2)) < -15


def test_the_pack_is_long_enough_to_tune_with_and_small_enough_to_ship():
    recordings = sorted(speech_pack().recordings.iterdir())
    total_s = sum(sf.info(path).duration for path in recordings)

    assert [path.stem for path in recordings] == [line.split("|")[0] for line in LINES]
    assert 140 < total_s < 180
    assert sum(path.stat().st_size for path in recordings) < 4_000_000


def test_texts_differ():
    assert len({line.split("|")[1] for line in LINES}) == len(LINES)


def test_six_utterances_are_held_out():
    names = {line.split("|")[0] for line in LINES}

    assert len(speech_pack().held_out) == 6
    assert set(speech_pack().held_out) < names


def test_a_missing_checkpoint_is_named_with_a_way_out(tmp_path, monkeypatch):
    monkeypatch.setattr(find, "FOLDER", tmp_path)

    for wanted, name in [
        (starter_text_to_spec, "text_to_spec.safetensors"),
        (starter_spec_to_wav, "spec_to_wav.safetensors"),
    ]:
        with pytest.raises(CheckpointError, match=rf"{name}, found no such file. Install .*'make starter'"):
            wanted()


def test_a_checkpoint_that_is_there_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(find, "FOLDER", tmp_path)
    (tmp_path / "text_to_spec.safetensors").write_bytes(b"weights")

    assert starter_text_to_spec() == tmp_path / "text_to_spec.safetensors"


def test_a_lost_speech_pack_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(find, "FOLDER", tmp_path)

    with pytest.raises(DataError, match="the bundled speech pack is incomplete: expected .*wavs"):
        speech_pack()

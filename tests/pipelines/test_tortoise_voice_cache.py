"""A voice is heard once for all that it depends on, and again when any of that changes or its file is bad."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from building.listeners import Heard
from building.tortoise_voices import recordings, voice
from retimbre.errors import AudioError, DataError
from retimbre.pipelines import tortoise_voice_cache
from retimbre.pipelines.tortoise_voice_cache import VoiceCache, user_cache_folder
from retimbre.pipelines.tortoise_voice_files import save_voice

HASHES = {"text-to-codes": "ab", "codes-to-spec": "cd"}


class Making:
    """Another random voice at each call."""

    def __init__(self):
        self.n_made = 0

    def __call__(self):
        self.n_made += 1
        return voice(seed=self.n_made)


@pytest.fixture
def made():
    return Making()


@pytest.fixture
def cache(tmp_path):
    return VoiceCache(folder=tmp_path / "cache" / "voices")


@pytest.fixture
def paths(tmp_path):
    return recordings(tmp_path / "recordings")


def the_file(cache):
    (path,) = cache.folder.iterdir()
    return path


def test_the_second_time_nothing_is_made(cache, made, paths):
    listener = Heard()

    first = cache.voice(paths, made, hashes=HASHES, seed=1, listener=listener)
    second = cache.voice(paths, made, hashes=HASHES, seed=1, listener=listener)

    assert made.n_made == 1
    torch.testing.assert_close(first.auto, second.auto, atol=0, rtol=0)
    torch.testing.assert_close(first.diffusion, second.diffusion, atol=0, rtol=0)
    assert first.source == second.source
    assert listener.said == [f"Voice: 2 recordings, heard before ({the_file(cache)})"]


def test_names_and_order_of_recordings_do_not_matter(cache, made, paths, tmp_path):
    cache.voice(paths, made, hashes=HASHES, seed=1)
    moved = [path.rename(tmp_path / f"moved{number}.wav") for number, path in enumerate(reversed(paths))]

    cache.voice(moved, made, hashes=dict(reversed(HASHES.items())), seed=1)

    assert made.n_made == 1


@pytest.mark.parametrize("change", ["seed", "hash", "role", "recording", "fewer", "twice", "front end"])
def test_a_change_of_anything_makes_another_voice(cache, made, paths, change, monkeypatch):
    cache.voice(paths, made, hashes=HASHES, seed=1)
    given = {"hashes": HASHES, "seed": 1, "paths": paths}

    if change == "seed":
        given["seed"] = 2
    elif change == "hash":
        given["hashes"] = {**HASHES, "codes-to-spec": "ce"}
    elif change == "role":
        given["hashes"] = {"text-to-codes": "ab"}
    elif change == "recording":
        content = bytearray(paths[0].read_bytes())
        content[-1] ^= 1
        paths[0].write_bytes(content)
    elif change == "fewer":
        given["paths"] = paths[:1]
    elif change == "twice":
        given["paths"] = [*paths, paths[0]]
    else:
        monkeypatch.setattr(tortoise_voice_cache, "FRONT_END", 999)
    cache.voice(given.pop("paths"), made, **given)

    assert made.n_made == 2
    assert len(list(cache.folder.iterdir())) == 2


def cut(path):
    path.write_bytes(path.read_bytes()[:-20])


def flipped(path):
    content = bytearray(path.read_bytes())
    content[-2] ^= 4
    path.write_bytes(content)


def foreign(path):
    save_voice(voice("other", seed=9), path)


def of_another_key(path):
    save_voice(replace(voice("other", seed=9), source={"kept_as": "0" * 64}), path)


def empty(path):
    path.write_bytes(b"")


@pytest.mark.parametrize("spoil", [cut, flipped, foreign, of_another_key, empty])
def test_a_damaged_or_foreign_file_is_made_again_and_that_is_said(cache, made, paths, spoil):
    cache.voice(paths, made, hashes=HASHES, seed=1)
    spoil(the_file(cache))
    listener = Heard()

    again = cache.voice(paths, made, hashes=HASHES, seed=1, listener=listener)
    third = cache.voice(paths, made, hashes=HASHES, seed=1)

    assert made.n_made == 2
    torch.testing.assert_close(again.auto, third.auto, atol=0, rtol=0)
    assert "heard again" in listener.line("Voice")


def test_where_nothing_can_be_written_the_voice_is_made_all_the_same(tmp_path, made, paths):
    (tmp_path / "file").write_text("no folder")
    listener = Heard()

    found = VoiceCache(folder=tmp_path / "file").voice(paths, made, hashes=HASHES, seed=1, listener=listener)

    torch.testing.assert_close(found.auto, voice(seed=1).auto, atol=0, rtol=0)
    assert "not kept for the next time" in listener.line("Voice")


def test_a_voice_that_cannot_be_made_leaves_nothing(cache, paths):
    def fail():
        raise AudioError("no")

    with pytest.raises(AudioError):
        cache.voice(paths, fail, hashes=HASHES, seed=1)

    assert not cache.folder.exists()


def test_a_recording_that_is_gone_is_named(cache, made, paths):
    paths[0].unlink()

    with pytest.raises(AudioError, match=str(paths[0])):
        cache.voice(paths, made, hashes=HASHES, seed=1)


def test_networks_without_hashes_are_refused(cache, made, paths):
    with pytest.raises(ValueError, match="hashes is empty"):
        cache.voice(paths, made, hashes={}, seed=1)


@pytest.mark.parametrize(
    ("platform", "environment", "expected"),
    [
        ("linux", {"XDG_CACHE_HOME": "/caches"}, "/caches"),
        ("linux", {"XDG_CACHE_HOME": "relative"}, "/home/me/.cache"),
        ("linux", {}, "/home/me/.cache"),
        ("darwin", {}, "/home/me/Library/Caches"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local"),
    ],
)
def test_the_usual_place_is_where_the_system_keeps_caches(monkeypatch, platform, environment, expected):
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setenv("HOME", "/home/me")
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    assert user_cache_folder() == Path(expected) / "retimbre" / "voices"


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch):
    def nowhere():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", nowhere)

    with pytest.raises(DataError, match="Set XDG_CACHE_HOME"):
        user_cache_folder()

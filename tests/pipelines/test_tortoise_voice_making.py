"""What somebody asks for is heard, opened, drawn or blended, and no network is loaded in vain."""

from dataclasses import replace

import pytest
import torch

from building.listeners import Heard
from building.tortoise_voices import (
    AUTO,
    DIFFUSION,
    RANDOM_AUTO,
    RANDOM_DIFFUSION,
    Loading,
    hearing,
    network,
    recordings,
    voice,
)
from retimbre.errors import StagesDoNotFit
from retimbre.pipelines.tortoise_voice_cache import VoiceCache
from retimbre.pipelines.tortoise_voice_files import save_voice
from retimbre.pipelines.tortoise_voice_making import VoiceNetworks, make_voice
from retimbre.pipelines.tortoise_voices import blended, random_voice, voice_from_clips


@pytest.fixture
def folder(tmp_path):
    recordings(tmp_path / "voices" / "emma")
    save_voice(voice("ann", seed=8), tmp_path / "voices" / "ann.pth")
    return tmp_path / "voices"


@pytest.fixture
def cache(tmp_path):
    return VoiceCache(folder=tmp_path / "cache")


def require_same(ours, theirs):
    torch.testing.assert_close(ours.auto, theirs.auto, atol=0, rtol=0)
    torch.testing.assert_close(ours.diffusion, theirs.diffusion, atol=0, rtol=0)


def test_recordings_are_heard_once(folder, cache):
    loading = Loading()
    ask = {"networks": loading.networks(), "seed": 3, "folders": [folder], "cache": cache}

    first = make_voice("emma", **ask)
    second = make_voice(str(folder / "emma"), **ask)

    ar, diffusion = hearing()
    paths = sorted((folder / "emma").iterdir())
    require_same(first, voice_from_clips(paths, ar=ar, diffusion=diffusion, seed=3))
    require_same(first, second)
    assert first.name == second.name == "emma"
    assert sorted(loading.loaded) == sorted([AUTO, DIFFUSION])
    assert first.source["networks"] == {AUTO: f"hash of {AUTO}", DIFFUSION: f"hash of {DIFFUSION}"}


def test_without_a_cache_nothing_is_kept(folder, cache):
    loading = Loading()

    for _ in range(2):
        assert make_voice("emma", networks=loading.networks(), seed=3, folders=[folder]).name == "emma"

    assert loading.loaded.count(AUTO) == 2
    assert not cache.folder.exists()


def test_a_voice_heard_without_diffusion_is_not_taken_for_a_whole_one(folder, cache):
    ask = {"seed": 3, "folders": [folder], "cache": cache}

    half = make_voice("emma", networks=Loading().networks(has_diffusion=False), **ask)
    whole = make_voice("emma", networks=Loading().networks(), **ask)

    assert half.diffusion is None
    assert whole.diffusion is not None


def test_a_saved_voice_needs_neither_networks_nor_their_hashes(folder):
    loading = Loading()

    found = make_voice("ann", networks=loading.networks(), seed=3, folders=[folder])

    require_same(found, voice("ann", seed=8))
    assert loading.loaded == loading.hashed == []


def test_a_saved_voice_of_other_networks_is_said(folder):
    source = {"networks": {AUTO: "of yesterday", DIFFUSION: f"hash of {DIFFUSION}"}}
    save_voice(replace(voice("bob"), source=source), folder / "bob")
    listener = Heard()

    make_voice("bob", networks=Loading().networks(), seed=3, folders=[folder], listener=listener)

    assert listener.said == ["Voice: bob was heard by another text-to-codes network; it may sound different"]


def test_a_random_voice_loads_the_generators_alone(folder):
    loading = Loading()

    found = make_voice("random", networks=loading.networks(), seed=3)

    require_same(found, random_voice(network(RANDOM_AUTO), network(RANDOM_DIFFUSION), seed=3))
    assert sorted(loading.loaded) == sorted([RANDOM_AUTO, RANDOM_DIFFUSION])
    alone = Loading()
    assert make_voice("random", networks=alone.networks(has_diffusion=False), seed=3).diffusion is None
    assert alone.loaded == [RANDOM_AUTO]


def test_several_voices_are_blended_each_as_it_is_alone(folder, cache):
    ask = {"networks": Loading().networks(), "seed": 3, "folders": [folder], "cache": cache}

    mixed = make_voice("ann&emma", **ask)

    require_same(mixed, blended([make_voice("ann", **ask), make_voice("emma", **ask)]))
    assert mixed.name == "ann&emma"


def test_two_random_voices_are_not_the_same_one():
    nets = Loading().networks()

    mixed, alone = (make_voice(wanted, networks=nets, seed=3) for wanted in ("random&random", "random"))

    assert not torch.equal(mixed.auto, alone.auto)


def test_a_network_of_another_kind_is_refused_by_its_role(folder):
    wrong = VoiceNetworks(load=lambda role: network(RANDOM_AUTO), hash_of=str)

    with pytest.raises(StagesDoNotFit, match="text-to-codes.*expected UnifiedVoice, found RandomLatent"):
        make_voice("emma", networks=wrong, seed=3, folders=[folder])

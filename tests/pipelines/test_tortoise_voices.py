"""A voice is the mean of what the networks hear; random ones follow their seed; only equals are blended."""

from dataclasses import replace

import pytest
import torch

from building.listeners import Heard
from building.sounds import record, vowel
from building.tortoise_voices import (
    DIFFUSION,
    RANDOM_AUTO,
    RANDOM_DIFFUSION,
    SIZES,
    hearing,
    network,
    recordings,
    voice,
)
from retimbre.errors import StagesDoNotFit
from retimbre.pipelines.tortoise_voice_clips import clips_of
from retimbre.pipelines.tortoise_voices import blended, random_voice, voice_from_clips


@pytest.fixture(scope="module")
def networks():
    return hearing()


def same(ours, theirs, **tolerance):
    tolerance = tolerance or {"atol": 0, "rtol": 0}
    torch.testing.assert_close(ours.auto, theirs.auto, **tolerance)
    torch.testing.assert_close(ours.diffusion, theirs.diffusion, **tolerance)


@torch.no_grad()
def test_several_recordings_give_what_the_networks_give_of_all_at_once(tmp_path, networks):
    ar, diffusion = networks
    paths = recordings(tmp_path, durations_s=(0.7, 1.3, 6.4))

    made = voice_from_clips(paths, ar=ar, diffusion=diffusion, seed=2)

    clips = clips_of(paths, seed=2)
    auto = ar.conditioning_latent(torch.stack([clip.auto_spec() for clip in clips])[None])[0]
    heard = diffusion.voice(torch.stack([clip.diffusion_spec() for clip in clips])[None])[0]
    torch.testing.assert_close(made.auto, auto, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(made.diffusion, heard, atol=1e-5, rtol=1e-5)
    assert not made.auto.requires_grad
    assert not made.auto.is_inference()


def test_another_seed_hears_another_part_of_long_recordings_only(tmp_path, networks):
    ar, diffusion = networks
    short, long = recordings(tmp_path, durations_s=(0.9, 7.0))

    def heard(path, seed):
        return voice_from_clips([path], ar=ar, diffusion=diffusion, seed=seed)

    same(heard(short, 1), heard(short, 2))
    same(heard(long, 1), heard(long, 1))
    assert not torch.equal(heard(long, 1).auto, heard(long, 2).auto)
    assert torch.equal(heard(long, 1).diffusion, heard(long, 2).diffusion)


def test_recordings_of_another_voice_give_another_one(tmp_path, networks):
    ar, diffusion = networks
    first, second = (
        voice_from_clips([path], ar=ar, diffusion=diffusion, seed=1) for path in recordings(tmp_path)
    )

    assert (first.auto - second.auto).abs().max() > 0.01
    assert (first.diffusion - second.diffusion).abs().max() > 0.01


def test_without_a_diffusion_network_there_is_one_latent(tmp_path, networks):
    ar, diffusion = networks
    paths = recordings(tmp_path)

    alone = voice_from_clips(paths, ar=ar, diffusion=None, seed=1)

    assert alone.diffusion is None
    torch.testing.assert_close(
        alone.auto, voice_from_clips(paths, ar=ar, diffusion=diffusion, seed=1).auto, atol=0, rtol=0
    )


def test_networks_in_another_precision_hear_the_same(tmp_path, networks):
    ar, diffusion = networks
    paths = recordings(tmp_path)
    wide_ar, wide_diffusion = (network.double() for network in hearing())

    wide = voice_from_clips(paths, ar=wide_ar, diffusion=wide_diffusion, seed=1)

    assert wide.auto.dtype == wide.diffusion.dtype == torch.float32
    same(wide, voice_from_clips(paths, ar=ar, diffusion=diffusion, seed=1), atol=1e-4, rtol=1e-4)


def test_the_listener_hears_notes_and_progress_and_the_source_tells_all(tmp_path, networks):
    ar, diffusion = networks
    record(tmp_path, {"dull": vowel(0.5, f0_hz=100, seed=1, rate_hz=8000)}, rate_hz=8000)
    paths = [*recordings(tmp_path), tmp_path / "dull.wav"]
    listener, steps = Heard(), []
    listener.progress = lambda task, done, total, note="": steps.append((task, done, total))

    made = voice_from_clips(
        paths, ar=ar, diffusion=diffusion, seed=7, hashes={"text-to-codes": "ab"}, listener=listener
    )

    assert "dull.wav" in listener.line("Voice")
    assert steps == [("Voice", 1, 3), ("Voice", 2, 3), ("Voice", 3, 3)]
    assert made.source["seed"] == 7
    assert made.source["networks"] == {"text-to-codes": "ab"}
    assert sorted(each["duration_s"] for each in made.source["recordings"]) == [0.5, 0.7, 1.3]


def test_a_random_voice_is_what_its_noise_gives_and_follows_its_seed():
    nets = network(RANDOM_AUTO), network(RANDOM_DIFFUSION)

    made, again, other = (random_voice(*nets, seed=seed) for seed in (5, 5, 6))

    noise = torch.Generator().manual_seed(5)
    with torch.no_grad():
        expected = [net(torch.randn(1, net.config.dim, generator=noise))[0] for net in nets]
    torch.testing.assert_close([made.auto, made.diffusion], expected, atol=0, rtol=0)
    same(made, again)
    assert not torch.equal(made.auto, other.auto)
    assert not torch.equal(made.diffusion, other.diffusion)
    assert random_voice(nets[0], None, seed=5).diffusion is None
    torch.testing.assert_close(random_voice(nets[0], None, seed=5).auto, made.auto, atol=0, rtol=0)


def test_a_random_voice_neither_reads_nor_changes_torchs_own_generator():
    nets = network(RANDOM_AUTO), network(RANDOM_DIFFUSION)
    torch.manual_seed(1)
    before = torch.get_rng_state()

    random_voice(*nets, seed=5)

    assert torch.equal(before, torch.get_rng_state())


def test_blended_voices_are_their_mean_and_one_alone_stays_as_it_is():
    voices = [voice("ann", seed=1), voice("bob", seed=2), voice("cy", seed=3)]

    mixed = blended(voices)

    assert mixed.name == "ann&bob&cy"
    expected = torch.stack([each.auto.double() for each in voices]).mean(dim=0)
    torch.testing.assert_close(mixed.auto.double(), expected, atol=1e-6, rtol=0)
    expected = torch.stack([each.diffusion.double() for each in voices]).mean(dim=0)
    torch.testing.assert_close(mixed.diffusion.double(), expected, atol=1e-6, rtol=0)
    assert [part["name"] for part in mixed.source["blend"]] == ["ann", "bob", "cy"]
    assert blended(voices[:1]) is voices[0]
    assert blended([replace(each, diffusion=None) for each in voices]).diffusion is None


@pytest.mark.parametrize("sizes", [{"dim": 32}, {"two_dim": 8}, {"two_dim": None}])
def test_voices_of_different_models_are_not_blended(sizes):
    with pytest.raises(StagesDoNotFit, match=r"'ann' and 'bob' cannot be blended.*64 and 16"):
        blended([voice("ann"), voice("bob", **sizes)])


def test_a_voice_of_these_models_fits(networks):
    ar, _ = networks

    voice().require_fits(ar.config, SIZES)
    voice().require_fits(ar.config, None)
    voice(two_dim=None).require_fits(ar.config, None)


@pytest.mark.parametrize(
    ("sizes", "found"),
    [({"dim": 48}, "48 and 16"), ({"two_dim": 20}, "64 and 20"), ({"two_dim": None}, "64, none for")],
)
def test_a_voice_of_other_models_is_refused_by_its_name(networks, sizes, found):
    ar, _ = networks

    with pytest.raises(StagesDoNotFit, match=rf"'emma'.*64 and 16 numbers.*found {found}"):
        voice(**sizes).require_fits(ar.config, SIZES)


@pytest.mark.parametrize(
    "source",
    [
        {"networks": {"text-to-codes": "old", "codes-to-spec": "same"}},
        {"blend": [{"networks": {"text-to-codes": "same"}}, {"networks": {"text-to-codes": "old"}}]},
    ],
)
def test_networks_of_other_weights_are_told_and_unknown_ones_are_not_asked_for(source):
    asked = []

    def hash_of(role):
        asked.append(role)
        return "same"

    known = replace(voice(), source=source)

    assert known.other_networks(("text-to-codes", "codes-to-spec", "ranking"), hash_of) == ("text-to-codes",)
    assert "ranking" not in asked


@pytest.mark.parametrize("source", [{"networks": 3}, {"blend": "x"}, {"blend": [1, {"networks": [2]}]}, {}])
def test_a_source_may_hold_anything(source):
    def hash_of(role):
        raise AssertionError(role)

    assert replace(voice(), source=source).other_networks((DIFFUSION,), hash_of) == ()

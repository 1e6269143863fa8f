"""What the diffusion stage produces is what speaking produces, as long as the recordings, and made once."""

import json
from dataclasses import replace

import pytest
import torch

from building.listeners import Heard
from building.tortoise_murmurs import DIFFUSION, NoisyVoices, autoregressive, decoder, murmured
from retimbre.data.store import Store
from retimbre.models.tortoise_ar.sampling import generator_of
from retimbre.models.tortoise_diffusion.config import spec_of
from retimbre.pipelines.produced_tortoise_specs import (
    Production,
    produced_spec,
    spec_errors,
    write_produced_tortoise_specs,
)
from retimbre.pipelines.teacher_forced_latents import FreshLatents, voice_choice
from retimbre.pipelines.tortoise_settings import Settings
from retimbre.pipelines.tortoise_stages import n_frames_of, spec_of_latents
from retimbre.pipelines.tortoise_target import target_spec
from retimbre.pipelines.tortoise_voice_clips import AUTO_MEL

MEL = spec_of(DIFFUSION)
HOW = Production(
    codes_to_spec="a" * 64,
    text_to_codes="b" * 64,
    settings=Settings(sampler="ddim", n_steps=3, guidance=1.5),
    seed=4,
)


@pytest.fixture
def utterances(tmp_path):
    return murmured(tmp_path, 3, lengths=(6, 4, 5))


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


def produce(utterances, store, how=HOW, ar=1, model=None):
    """How many are made."""
    listener, voices = Heard(), NoisyVoices()
    n_made = write_produced_tortoise_specs(
        utterances,
        store,
        model or decoder(),
        latents=FreshLatents(ar=autoregressive(ar), voices=voices, seed=9),
        voices=voices,
        production=how,
        listener=listener,
    )
    assert listener.of("Produced specs") == [f"{n_made} made, {len(utterances) - n_made} there already"]
    return n_made


@torch.no_grad()
def test_each_is_what_speaking_makes_of_the_latents_cut_to_the_whole_hops_of_its_recording(utterances, store):
    model, voices = decoder(), NoisyVoices()
    assert produce(utterances, store) == 3
    for one in utterances:
        name = one.utterance.stem
        latents = FreshLatents(ar=autoregressive(), voices=voices, seed=9).of(one)
        clips = voices.for_diffusion(one, voice_choice(9, one.utterance))
        spoken = spec_of_latents(
            model,
            latents.unsqueeze(0),
            model.voice(clips.unsqueeze(0))[0],
            settings=HOW.settings,
            generator=generator_of(4, name, "produced"),
            watch=lambda done, total: None,
        )
        produced = store.load_produced_spec(one.utterance, MEL)

        assert spoken.shape == (DIFFUSION.n_mels, n_frames_of(len(one.codes), MEL))
        assert produced.shape[1] == one.n_samples * 24000 // (22050 * 256)
        torch.testing.assert_close(produced, spoken[:, : produced.shape[1]], atol=1e-5, rtol=1e-5)


def test_they_are_logarithms_as_a_vocoder_reads_them(utterances, store):
    produce(utterances, store)
    for one in utterances:
        produced = store.load_produced_spec(one.utterance, MEL)
        assert produced.min() >= MEL.silence - 1e-4
        assert produced.max() <= 2.3144


def test_what_was_made_from_the_same_stays(utterances, store):
    produce(utterances, store)
    assert produce(utterances, store) == 0

    path = store.produced_spec_path(utterances[0].utterance, MEL)
    path.write_bytes(path.read_bytes()[:-9])
    assert produce(utterances, store) == 1

    path.with_suffix(".json").write_text("{", encoding="utf-8")
    assert produce(utterances, store) == 1
    path.with_suffix(".json").unlink()
    assert produce(utterances, store) == 1


@pytest.mark.parametrize(
    "how",
    [
        replace(HOW, codes_to_spec="c" * 64),
        replace(HOW, seed=5),
        replace(HOW, settings=replace(HOW.settings, n_steps=4)),
        replace(HOW, settings=replace(HOW.settings, sampler="dpm++2m")),
        replace(HOW, settings=replace(HOW.settings, guidance=0.0)),
        replace(HOW, settings=replace(HOW.settings, noise_scale=0.5)),
    ],
)
def test_another_way_of_producing_makes_others(utterances, store, how):
    produce(utterances, store)
    before = [store.load_produced_spec(one.utterance, MEL) for one in utterances]
    assert produce(utterances, store, how) == 3
    after = [store.load_produced_spec(one.utterance, MEL) for one in utterances]
    is_another_network_in_name_alone = how.codes_to_spec != HOW.codes_to_spec
    assert all(a.equal(b) == is_another_network_in_name_alone for a, b in zip(before, after, strict=True))


def test_other_latents_make_others(utterances, store):
    produce(utterances, store)
    assert produce(utterances, store, ar=2) == 3


def test_beside_each_stands_what_it_was_made_from(utterances, store):
    produce(utterances, store)
    path = store.produced_spec_path(utterances[0].utterance, MEL)
    facts = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))

    assert facts["codes_to_spec"] == "a" * 64
    assert facts["text_to_codes"] == "b" * 64
    assert (facts["sampler"], facts["n_steps"], facts["guidance"], facts["seed"]) == ("ddim", 3, 1.5, 4)


def test_the_error_of_each_is_its_distance_from_the_recording(utterances, store):
    produce(utterances, store)
    errors = spec_errors(utterances, store, decoder())

    assert list(errors) == [one.utterance for one in utterances]
    for one in utterances:
        samples = store.load_audio(one.utterance, AUTO_MEL).samples
        normal = target_spec(samples, len(one.codes), MEL)
        real = (normal + 1) / 2 * (2.3143386840820312 + 11.512925148010254) - 11.512925148010254
        produced = store.load_produced_spec(one.utterance, MEL)
        expected = (produced - real[:, : produced.shape[1]]).abs().mean()
        assert errors[one.utterance] == pytest.approx(float(expected), rel=1e-5)


def test_noise_of_the_same_seed_gives_the_same_spec():
    latents, clips = torch.randn(5, 16), torch.randn(2, DIFFUSION.n_mels, 13)
    found = [
        produced_spec(
            decoder(), latents, clips, settings=Settings(n_steps=3), generator=generator_of(seed, "x")
        )
        for seed in (1, 1, 2)
    ]

    assert found[0].equal(found[1])
    assert not found[0].allclose(found[2])

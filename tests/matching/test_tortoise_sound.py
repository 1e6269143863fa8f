"""Judged specs are those that a vocoder is trained on; the mel error is that of the spec alone."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from building.tortoise_corpus import tortoise_corpus
from building.tortoise_set import PARTS, random_part
from retimbre.audio.mel import logarithms
from retimbre.jobs.listener import Silent
from retimbre.matching.tortoise_judge import Contestant, compare, spec_error
from retimbre.matching.tortoise_misfit import decoder_error, vocoder_misfit
from retimbre.matching.tortoise_sound import recorded, sound, specs_of
from retimbre.models.load import load_model
from retimbre.models.tortoise_diffusion.config import spec_of
from retimbre.pipelines.teacher_forced_latents import FreshLatents, StoredLatents
from retimbre.pipelines.tortoise_target import normalised, recorded_frames, target_spec
from retimbre.pipelines.tortoise_voice_clips import AUTO_MEL
from retimbre.recipe.training import Training
from retimbre.report.contents import System
from retimbre.training.objective import Progress
from retimbre.training.tortoise_build import Ground, produce_specs, sampling_of, voices_of
from retimbre.training.tortoise_diffusion import CodesToSpecObjective, LatentDataset, Measured
from retimbre.training.tortoise_material import prepare_tortoise
from retimbre.training.tortoise_training_files import files_of

REAL = System(name="real", description="The recordings.")


@pytest.fixture(scope="module")
def chain(tortoise_set, tmp_path_factory):
    """A prepared corpus with its models; nothing is tuned."""
    corpus = tortoise_corpus(tmp_path_factory.mktemp("chain"), tortoise_set)
    recipe = corpus.recipe("spec-to-wav", sampled_steps=2)
    material = prepare_tortoise(recipe, files=files_of(recipe), n_workers=1)
    ground = Ground(recipe=recipe, material=material, base=None, listener=Silent(), device="cpu")
    ar = load_model(tortoise_set / "autoregressive.pth")
    voices = voices_of(ground, as_speaking=True)
    return SimpleNamespace(
        recipe=recipe,
        material=material,
        ground=ground,
        voices=voices,
        latents=FreshLatents(ar=ar.model, voices=voices, seed=recipe.data.seed),
        decoder=load_model(tortoise_set / "diffusion_decoder.pth"),
        vocoder=load_model(tortoise_set / "vocoder.pth"),
        judged=material.held_out,
    )


def real_specs(chain):
    """What a perfect decoder would write."""
    mel, found = spec_of(chain.decoder.model.config), {}
    for one in chain.judged:
        samples = chain.material.store.load_audio(one.utterance, AUTO_MEL).samples
        target = target_spec(samples, len(one.codes), mel)
        found[one.utterance.stem] = logarithms(target, normalised(mel))
    return found


def contestant(chain, name, specs):
    return Contestant(system=System(name=name, description=name), specs=specs, vocoder=chain.vocoder)


def test_judged_specs_are_those_that_a_vocoder_is_matched_to(chain):
    mel = chain.vocoder.description.mel
    produce_specs(chain.ground, chain.judged)
    sha256 = chain.material.files.sha256("text-to-codes")
    specs = specs_of(
        chain.judged,
        chain.decoder,
        latents=StoredLatents(store=chain.material.store, text_to_codes=sha256, seed=chain.recipe.data.seed),
        voices=chain.voices,
        settings=sampling_of(chain.recipe),
        seed=chain.recipe.data.seed,
        listener=Silent(),
    )

    for one in chain.judged:
        stored = chain.material.store.load_produced_spec(one.utterance, mel)
        assert specs[one.utterance.stem][:, : recorded_frames(one.n_samples, mel)].equal(stored)


def test_a_specs_mel_error_is_its_mean_distance_and_the_silence_behind_does_not_count(chain):
    specs = real_specs(chain)
    for one in chain.judged:
        n_frames = recorded_frames(one.n_samples, chain.vocoder.description.mel)
        specs[one.utterance.stem] = specs[one.utterance.stem] + 0.25
        specs[one.utterance.stem][:, n_frames:] = 7.0

        assert spec_error(one, chain.material, contestant(chain, "a", specs)) == pytest.approx(0.25, abs=1e-5)


def test_equal_specs_sound_alike_in_every_system_and_worse_ones_have_the_larger_error(chain):
    specs = real_specs(chain)
    worse = {name: spec + 0.3 * torch.randn(spec.shape) for name, spec in specs.items()}
    systems = [contestant(chain, *each) for each in (("one", specs), ("same", specs), ("worse", worse))]

    found = compare(
        chain.judged,
        chain.material,
        REAL,
        systems,
        seed=3,
        has_spec_error=True,
        listener=Silent(),
    )

    for measure in found.scores.measures:
        assert found.scores.of(measure, "one") == pytest.approx(found.scores.of(measure, "same"), nan_ok=True)
    error = found.scores.measures[0]
    assert error.key == "spec_error"
    assert found.scores.mean(error, "one") == pytest.approx(0.0, abs=1e-5)
    assert found.scores.mean(error, "worse") == pytest.approx(0.3 * (2 / torch.pi) ** 0.5, rel=0.05)
    for spoken in found.spoken:
        assert spoken.audio["one"].samples.equal(spoken.audio["same"].samples)
        assert not spoken.audio["one"].samples.equal(spoken.audio["worse"].samples)


def test_another_utterance_and_another_seed_have_other_noise(chain):
    _, spec = recorded(chain.judged[0], chain.material, chain.vocoder)

    same = sound(spec, chain.vocoder, seed=3, name="a")
    assert same.samples.equal(sound(spec, chain.vocoder, seed=3, name="a").samples)
    for seed, name in ((3, "b"), (4, "a")):
        assert not same.samples.equal(sound(spec, chain.vocoder, seed=seed, name=name).samples)


def test_a_decoders_error_is_the_mean_of_what_validation_says_of_each_utterance(chain):
    model, settings = chain.decoder.model, Training(seed=11)
    found = decoder_error(
        model, chain.judged, chain.material, settings, latents=chain.latents, voices=chain.voices
    )
    dataset = LatentDataset(
        chain.judged,
        chain.material.store,
        spec_of(model.config),
        latents=chain.latents,
        voices=chain.voices,
        seed=11,
    )
    measured = {
        one.utterance.stem: Measured(item=dataset.validation_item(one), n_samples=one.n_samples)
        for one in chain.judged
    }
    together = CodesToSpecObjective(model, settings, measured, learning=model).validate(Progress()).measures

    assert not model.eval().training
    assert found.mel == pytest.approx(together["mel_error"])  # of two utterances all are sampled
    assert found.noise == pytest.approx(together["noise"], rel=0.05)  # validation weighs by length


def test_latents_of_another_text_to_codes_give_another_error(chain):
    part = PARTS["autoregressive"]
    drifted = random_part(part.family, part.config, seed=5)
    other = replace(chain.latents, ar=drifted)
    errors = [
        decoder_error(
            chain.decoder.model,
            chain.judged,
            chain.material,
            Training(),
            latents=latents,
            voices=chain.voices,
        )
        for latents in (chain.latents, chain.latents, other)
    ]

    assert errors[0] == errors[1]
    assert errors[0].noise != errors[2].noise
    assert errors[0].mel != errors[2].mel


def test_a_vocoder_loses_nothing_on_specs_that_are_real(chain):
    real = {one.utterance.stem: recorded(one, chain.material, chain.vocoder)[1] for one in chain.judged}
    shifted = {name: spec.roll(9, dims=0) for name, spec in real.items()}

    same, other = (
        vocoder_misfit(chain.judged, chain.material, chain.vocoder, specs, seed=2)
        for specs in (real, shifted)
    )

    assert (same.spec_distance, same.loss_db) == (0.0, 0.0)
    assert not same.can_help
    assert other.spec_distance > 0.5
    assert other.loss_db != 0.0
    assert other.mcd_on_real_db == same.mcd_on_real_db

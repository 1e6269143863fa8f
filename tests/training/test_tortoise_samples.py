"""What text-to-codes sounds like on the way: some sentences, at some steps, the same for the same weights."""

from dataclasses import replace

import pytest
import torch

from building.listeners import Heard
from building.tortoise_corpus import tortoise_corpus
from building.tortoise_set import tiny_tortoise_set
from retimbre.models.load import load_model
from retimbre.pipelines.tortoise_settings import Settings
from retimbre.training.tortoise_forgetting import base_texts
from retimbre.training.tortoise_material import prepare_tortoise
from retimbre.training.tortoise_samples import samples_of
from retimbre.training.tortoise_training_files import files_of

QUICK = Settings(n_drawn=1, sampler="dpm++2m", n_steps=2)


@pytest.fixture
def made(tortoise_set, tmp_path):
    """samples_of a recipe with these keys of `training`, and what was said: made(steps=40)."""

    def make(models=tortoise_set, **training):
        recipe = tortoise_corpus(tmp_path / "corpus", models).recipe("text-to-codes")
        training = {"steps": 40, "validate_every_steps": 5, "samples": 4} | training
        recipe = recipe.model_copy(update={"training": recipe.training.model_copy(update=training)})
        material = prepare_tortoise(recipe, files=files_of(recipe), n_workers=1)
        listener, texts = Heard(), base_texts(material.files.vocabulary)
        samples = samples_of(recipe, material, listener, base_text=texts[0])
        return samples and replace(samples, settings=QUICK), material, listener

    return make


@pytest.fixture
def ar(tortoise_set):
    return load_model(tortoise_set / "autoregressive.pth").model


def test_a_validation_text_and_a_base_sentence_are_spoken_and_the_same_weights_say_the_same(made, ar):
    samples, material, _ = made()

    once, again = samples.at(0, ar), samples.at(0, ar)

    name = material.validation[0].utterance.basename.replace("/", "-")
    assert list(once) == [f"speech/{name}", "speech/base-sentence"]
    for label, (sound, rate_hz) in once.items():
        assert rate_hz == 24_000
        assert sound.ndim == 1
        assert 1_000 < len(sound) <= 250 * 1024 * 24_000 // 22_050 + 256
        assert sound.abs().max() > 1e-4
        assert sound.equal(again[label][0])


def test_other_weights_say_it_otherwise(made, ar):
    samples, _, _ = made()
    before = samples.at(0, ar)
    with torch.no_grad():
        ar.conditioning_encoder.init.weight.mul_(-1.0)

    after = samples.at(0, ar)

    assert any(not sound.equal(after[label][0]) for label, (sound, _) in before.items())


@pytest.mark.parametrize(("n", "every"), [(4, 10), (100, 5), (1, 40)])
def test_it_is_spoken_about_as_often_as_the_recipe_says_at_validations_alone(made, ar, n, every):
    samples, _, _ = made(samples=n)

    assert samples.every_steps == every
    assert samples.at(every + 5 if every > 5 else 3, ar) == {}


def test_where_nothing_makes_sound_of_codes_that_is_said(made, tmp_path):
    models = tiny_tortoise_set(tmp_path / "less", vocoder=None)

    samples, _, listener = made(models)

    assert samples is None
    assert listener.line("Samples") == f"Samples: none: there is no vocoder in {models}"


def test_who_wants_to_hear_nothing_hears_nothing(made):
    samples, _, listener = made(samples=0)

    assert samples is None
    assert listener.said == []

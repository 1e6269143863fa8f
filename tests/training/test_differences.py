"""A base counts more than a recipe: what differs is told in one line."""

import pytest

from retimbre.jobs.listener import Silent
from retimbre.models.load import load_model
from retimbre.recipe.read import read_recipe
from retimbre.training.differences import tell_differences
from retimbre.training.train import stage_job, train_stage

SHORT = {"steps": 2, "validate_every_steps": 2, "checkpoint_every_steps": 2}


class Heard(Silent):
    def __init__(self):
        self.said = []

    def say(self, label, text):
        self.said.append(f"{label}: {text}")


def told(recipe, base):
    listener = Heard()
    tell_differences(recipe, load_model(base), listener)
    return listener.said


@pytest.fixture
def base(recipe_file):
    """A trained model of a stage."""
    return lambda stage: (
        train_stage(read_recipe(recipe_file(stage, name=f"base-{stage}", **SHORT)), device="cpu").model
    )


def test_a_recipe_that_says_the_same_is_not_told_of(base, recipe_file):
    for stage in ("text-to-spec", "spec-to-wav"):
        overrides = ["spectrogram.hop_samples=256", "spectrogram.preset=mel-librosa"]
        assert told(read_recipe(recipe_file(stage), overrides), base(stage)) == []


def test_what_a_recipe_says_otherwise_is_told_in_one_line(base, recipe_file):
    path = recipe_file("text-to-spec")
    overrides = [
        "spectrogram.hop_samples=300",
        "text_to_spec.n_layers=3",
        "text_to_spec.decoder.kernel=5",
        "text_to_spec.pitch.n_bins=9",
        "text_to_spec.has_postnet=true",
    ]

    assert told(read_recipe(path, overrides), base("text-to-spec")) == [
        "The base counts: spectrogram.hop_samples 256 (the recipe: 300), "
        "text_to_spec.n_layers 1 (the recipe: 3), text_to_spec.has_postnet False (the recipe: True), "
        "text_to_spec.decoder.kernel 9 (the recipe: 5), text_to_spec.pitch.n_bins 256 (the recipe: 9)"
    ]


def test_a_vocoders_sizes_are_compared_too(base, recipe_file):
    overrides = ["spec_to_wav.resblock='1'", "discriminators.periods=[3]", "spectrogram.preset=hifigan"]

    (line,) = told(read_recipe(recipe_file("spec-to-wav"), overrides), base("spec-to-wav"))
    for part in ("spectrogram.preset mel-librosa", "spec_to_wav.resblock 2", "discriminators.periods [2]"):
        assert part in line


def test_frozen_names_of_discriminators_are_passed_over_where_the_base_has_none(recipe_file):
    frozen = "training.frozen=[discriminators.mpd., generator.conv_pre]"
    listener = Heard()
    job = stage_job(read_recipe(recipe_file("spec-to-wav"), [frozen]), listener=listener)
    parts = job.objective.parts()

    assert all(p.requires_grad for p in parts["discriminators"].parameters())
    assert not any(p.requires_grad for p in parts["generator"].conv_pre.parameters())
    assert any("(1 names are passed over)" in line for line in listener.said)


def test_discriminators_of_a_base_may_be_frozen(base, recipe_file):
    overrides = [f"base={base('spec-to-wav')}", "training.frozen=[discriminators.mpd.]"]
    job = stage_job(read_recipe(recipe_file("spec-to-wav"), overrides), listener=Silent())
    parts = job.objective.parts()

    assert not any(p.requires_grad for p in parts["discriminators"].mpd.parameters())
    assert all(p.requires_grad for p in parts["discriminators"].msd.parameters())

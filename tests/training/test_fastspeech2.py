"""What fine-tuning a text-to-spec model minimises, and what it is judged by."""

import pytest
import torch

from retimbre.models.fastspeech2.batch import collate
from retimbre.models.load import load_model
from retimbre.recipe.training import LossWeights
from retimbre.training.batching import Key
from retimbre.training.objective import Progress


def batch_of(job, *items):
    return job.collate([job.dataset[Key(item, 0)] for item in items])


def test_padding_of_a_batch_is_silence_not_zero(tiny_job, settings):
    job = tiny_job("text-to-spec", settings())
    batch = batch_of(job, 0, 4)
    n_real = int(batch.n_frames[0])

    assert n_real < batch.spec.shape[1]
    assert batch.spec[0, n_real:].eq(job.description.mel.silence).all()
    assert job.description.mel.silence < -10


def test_lengths_for_the_buckets_are_frames(tiny_job, settings):
    job = tiny_job("text-to-spec", settings())

    assert list(job.lengths) == [20, 27, 34, 41, 48]


def test_the_same_item_is_drawn_in_every_pass(tiny_job, settings):
    job = tiny_job("text-to-spec", settings())

    assert job.dataset[Key(2, 0)] is job.dataset[Key(2, 5)]
    assert len(job.dataset) == 5


@pytest.mark.parametrize(("step", "expected"), [(0, 0.0), (10, 0.0), (15, 0.5), (20, 1.0), (500, 1.0)])
def test_binarisation_grows_between_two_steps(tiny_job, settings, step, expected):
    loss = LossWeights(attn_bin_from_step=10, attn_bin_full_step=20)
    objective = tiny_job("text-to-spec", settings(loss=loss)).objective

    assert objective._binarisation(Progress(step=step)) == expected


@pytest.mark.parametrize("name", ["spec", "pitch", "energy", "duration"])
def test_the_recipe_says_how_a_loss_measures(tiny_job, settings, name):
    values = []
    for distance in ("mse", "mae"):
        job = tiny_job("text-to-spec", settings(loss=LossWeights(**{f"{name}_distance": distance})))
        (turn,) = job.objective.turns()
        torch.manual_seed(1)
        losses = turn.losses(batch_of(job, 1, 2), None, Progress())
        values.append({loss: value.item() for loss, value in losses.items()})
    changed = {loss for loss in values[0] if values[0][loss] != values[1][loss]}

    assert changed == ({"spec", "postnet"} if name == "spec" else {name})


def test_a_weight_of_the_recipe_scales_its_loss(tiny_job, settings):
    def losses(**weights):
        loss = LossWeights(attn_bin_full_step=1, **weights)
        job = tiny_job("text-to-spec", settings(loss=loss))
        (turn,) = job.objective.turns()
        torch.manual_seed(3)
        return turn.losses(batch_of(job, 0, 1), None, Progress(step=9))

    names = ("spec", "postnet", "pitch", "energy", "duration", "attn_ctc", "attn_bin")
    plain, changed = losses(**dict.fromkeys(names, 1.0)), losses(**{n: i + 2.0 for i, n in enumerate(names)})

    assert set(plain) == set(names)
    for factor, name in enumerate(names, start=2):
        torch.testing.assert_close(changed[name], factor * plain[name])


def test_validation_measures_the_teacher_forced_spec_and_goes_back_to_training(tiny_job, settings):
    job = tiny_job("text-to-spec", settings())
    (item,) = job.objective.validation.values()
    with torch.no_grad():
        verdict = job.objective.validate(Progress())
    assert job.objective.model.training
    job.objective.model.eval()
    spec = job.objective.model.teacher_force(collate([item], pad_spec=-11.5)).spec[0].T

    assert verdict.score == pytest.approx(float((spec - item.spec).abs().mean()), rel=1e-5)
    assert verdict.measures["spec_distance"] == verdict.score
    assert {"validation/held/real", "validation/held/produced"} == set(verdict.pictures)


def test_what_is_kept_can_be_loaded_and_is_the_same_model(tiny_job, settings, tmp_path):
    job = tiny_job("text-to-spec", settings())
    job.keep(tmp_path / "kept.safetensors", 7)
    loaded = load_model(tmp_path / "kept.safetensors")
    (item,) = job.objective.validation.values()
    batch = collate([item], pad_spec=-11.5)

    assert loaded.description.step == 7
    assert loaded.description.mel == job.description.mel
    torch.testing.assert_close(
        loaded.model.teacher_force(batch).spec, job.objective.model.eval().teacher_force(batch).spec
    )

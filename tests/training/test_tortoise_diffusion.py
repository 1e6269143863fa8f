"""A diffusion decoder learns what speaking asks of it, from the latents of the stage before it."""

import copy
from dataclasses import replace

import pytest
import torch

from building.tortoise_murmurs import DIFFUSION, NoisyVoices, autoregressive, decoder, murmured
from building.training import train
from retimbre.data.store import Store
from retimbre.errors import DataError
from retimbre.models.description import Description, sizes_of
from retimbre.models.load import load_model
from retimbre.models.tortoise_diffusion.config import spec_of
from retimbre.models.tortoise_diffusion.loss import batch_losses, drawn_for
from retimbre.models.tortoise_diffusion.schedule import trained_schedule
from retimbre.pipelines.teacher_forced_latents import FreshLatents, Makers, write_latents
from retimbre.pipelines.tortoise_settings import Settings
from retimbre.recipe.recipe import Data, Recipe
from retimbre.recipe.training import LossWeights
from retimbre.training.batching import Key
from retimbre.training.learner import Learner
from retimbre.training.objective import Parts, Progress
from retimbre.training.run import resume, start
from retimbre.training.tortoise_diffusion import codes_to_spec_job

MEL = spec_of(DIFFUSION)
QUICK = Settings(sampler="dpm++2m", n_steps=8, guidance=0.0)
AT_ONCE = LossWeights(noise_from_step=0)
GUESSING = LossWeights(noise_from_step=1000)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("murmured")


@pytest.fixture(scope="module")
def training(folder):
    return murmured(folder, 30, seed=1, lengths=(7,))


@pytest.fixture(scope="module")
def held_out(folder):
    return murmured(folder, 3, seed=2, lengths=(7,))


@pytest.fixture(scope="module")
def mixed(folder):
    """Of three lengths."""
    return murmured(folder, 5, seed=3)


def latents_in(folder, utterances, ar, name):
    """Made once, as `match` does it."""
    makers = Makers(text_to_codes=name, dvae="dvae", seed=1)
    return write_latents(utterances, Store(folder), ar, voices=NoisyVoices(), makers=makers)


def job_of(model, settings, folder, training, validation, *, latents=None):
    voices = NoisyVoices()
    return codes_to_spec_job(
        Learner(
            network=model,
            description=Description(family="tortoise_diffusion", sizes=sizes_of(DIFFUSION), spectrogram=MEL),
        ),
        settings,
        training=training,
        validation=validation,
        store=Store(folder),
        latents=latents or FreshLatents(ar=autoregressive(), voices=voices, seed=1),
        voices=voices,
        sampling=QUICK,
    )


def trained(job, settings):
    """Logged values of each step."""
    torch.manual_seed(settings.seed)
    job.objective.model.train()
    logged = train(job, settings)
    job.objective.model.eval()
    return logged


@pytest.fixture
def learn(folder, training, held_out, settings):
    """Train a decoder on the latents of a stage: (what was measured before, after)."""

    def run(model, ar, name, *, steps, batch_size=4, loss=AT_ONCE):
        latents = latents_in(folder, [*training, *held_out], ar, name)
        chosen = settings(steps=steps, batch_size=batch_size, learning_rate=3e-3, loss=loss)
        job = job_of(model, chosen, folder, training, held_out, latents=latents)
        before = job.objective.validate(Progress()).measures
        trained(job, chosen)
        return before, job.objective.validate(Progress()).measures

    return run


def drifted():
    """The stage before, after a tuning that has moved what it thinks."""
    ar = autoregressive()
    torch.manual_seed(11)
    with torch.no_grad():
        ar.mel_embedding.weight.add_(2 * torch.randn_like(ar.mel_embedding.weight))
    return ar


def test_training_lowers_the_held_out_loss(learn):
    before, after = learn(decoder(), autoregressive(), "base", steps=40)

    assert after["noise"] < 0.6 * before["noise"]
    assert after["first_guess"] < 0.5 * before["first_guess"]


def test_a_decoder_follows_the_stage_before_it(learn):
    """In its first guess, which is quickly learnt: the stage drifts, and the decoder is matched or not."""
    matched, base = decoder(), autoregressive()
    learn(matched, base, "base", steps=60, loss=GUESSING)
    unmatched = copy.deepcopy(matched)
    learn(unmatched, base, "base", steps=40, loss=GUESSING)
    _, of_matched = learn(matched, drifted(), "drifted", steps=40, loss=GUESSING)
    of_unmatched, _ = learn(unmatched, drifted(), "drifted", steps=1, loss=GUESSING)

    assert of_matched["first_guess"] < 0.7 * of_unmatched["first_guess"]


@pytest.mark.slow
def test_a_matched_decoder_finds_what_is_in_noise_better_than_an_unmatched_one(learn):
    """Both begin alike and learn as long; they are measured on the latents of the drifted stage."""
    matched, base = decoder(dim=64), autoregressive()
    learn(matched, base, "base", steps=250, batch_size=8)
    unmatched = copy.deepcopy(matched)
    learn(unmatched, base, "base", steps=100, batch_size=8)
    _, of_matched = learn(matched, drifted(), "drifted", steps=100, batch_size=8)
    of_unmatched, _ = learn(unmatched, drifted(), "drifted", steps=1)

    assert of_matched["noise"] < 0.9 * of_unmatched["noise"], (of_matched, of_unmatched)


def test_until_its_step_only_the_first_guess_counts(folder, mixed, settings):
    chosen = settings(steps=4, loss=LossWeights(noise_from_step=2))
    model = decoder()
    before = {name: weight.clone() for name, weight in model.layers.named_parameters()}
    job = job_of(model, chosen, folder, mixed, mixed[:1])
    logged = trained(job, chosen.model_copy(update={"steps": 2}))
    assert all(weight.equal(before[name]) for name, weight in model.layers.named_parameters())
    logged += trained(job_of(model, settings(loss=AT_ONCE), folder, mixed, mixed[:1]), chosen)[2:]

    names = [{name for name in step if name.startswith("model/") and "_norm" not in name} for step in logged]
    assert names[:2] == [{"model/first_guess", "model/total"}] * 2
    assert names[2:] == [{"model/first_guess", "model/noise", "model/variance", "model/total"}] * 2


def test_losses_count_as_the_recipe_says(folder, mixed, settings):
    weights = LossWeights(noise_from_step=0, noise=3.0, variance=0.5, first_guess=0.25)
    chosen = settings(loss=weights)
    job = job_of(decoder(), chosen, folder, mixed, mixed[:1])
    batch = job.collate([job.dataset[Key(n, 0)] for n in range(2)]).parts[0]
    (turn,) = job.objective.turns()
    torch.manual_seed(1)
    counted = turn.losses(batch, None, Progress())
    torch.manual_seed(1)
    plain = batch_losses(
        job.objective.model, batch, drawn_for(batch.spec), trained_schedule(), has_noise=True
    )

    for name, factor in (("noise", 3.0), ("variance", 0.5), ("first_guess", 0.25)):
        torch.testing.assert_close(counted[name], factor * plain[name])


def test_a_decoder_whose_first_guess_is_frozen_learns_noise_from_the_start(folder, mixed, settings):
    chosen = settings(steps=2, loss=LossWeights(noise_from_step=200))
    model = decoder()
    for name, weight in model.named_parameters():
        weight.requires_grad_(name.startswith("layers."))
    before = copy.deepcopy(model.state_dict())
    logged = trained(job_of(model, chosen, folder, mixed, mixed[:1]), chosen)

    assert "model/noise" in logged[0]
    moved = {name for name, weight in model.state_dict().items() if not weight.equal(before[name])}
    assert moved
    assert all(name.startswith("layers.") for name in moved)


def test_parts_of_a_batch_give_the_same_step(folder, mixed, settings):
    weights = []
    for n_parts in (1, 4):
        chosen = settings(steps=1, batch_size=5, batch_parts=n_parts, loss=AT_ONCE)
        model = decoder()
        job = job_of(model, chosen, folder, mixed, mixed[:1])
        parts = job.collate([job.dataset[Key(n, 0)] for n in range(5)])
        assert isinstance(parts, Parts)
        assert len(parts.parts) == {1: 3, 4: 3}[n_parts]
        (logged,) = trained(job, chosen)
        weights.append((logged["model/total"], model.state_dict()))

    assert weights[0][0] == pytest.approx(weights[1][0], rel=1e-5)


def test_bfloat16_comes_close_to_float32(folder, mixed, settings):
    totals = []
    for precision in ("32-true", "bf16-mixed"):
        chosen = settings(steps=3, precision=precision, loss=AT_ONCE)
        logged = trained(job_of(decoder(), chosen, folder, mixed, mixed[:1]), chosen)
        totals.append([step["model/total"] for step in logged])

    assert totals[0] != totals[1]
    assert totals[1] == pytest.approx(totals[0], rel=0.05)


def test_every_pass_hears_the_voice_and_the_latents_anew(folder, mixed, settings):
    voices, ar = NoisyVoices(), autoregressive()
    latents = FreshLatents(ar=ar, voices=voices, seed=1, n_variants=3)
    dataset = job_of(decoder(), settings(), folder, mixed, mixed[:1], latents=latents).dataset
    items = [dataset[Key(0, draw)] for draw in range(12)]

    assert not items[0].clips.equal(items[1].clips)
    assert len({float(item.latents.sum()) for item in items}) == 3
    assert dataset[Key(0, 5)].latents.equal(items[5].latents)
    assert dataset[Key(0, 5)].clips.equal(items[5].clips)
    assert all(item.spec.equal(items[0].spec) for item in items)


def test_a_recording_that_has_changed_is_refused(folder, mixed, settings):
    longer = [replace(mixed[0], n_samples=mixed[0].n_samples + 1), *mixed[1:]]
    dataset = job_of(decoder(), settings(), folder, longer, mixed[:1]).dataset

    with pytest.raises(DataError, match="has changed since it was encoded"):
        dataset[Key(0, 0)]


def test_measuring_gives_the_same_each_time_and_shows_specs(folder, mixed, settings):
    model = decoder().train()
    objective = job_of(model, settings(), folder, mixed[:2], mixed[2:]).objective
    torch.manual_seed(1)
    first = objective.validate(Progress())
    torch.manual_seed(2)
    second = objective.validate(Progress())

    assert first.measures == second.measures
    assert set(first.measures) == {"noise", "variance", "first_guess", "mel_error"}
    assert first.score == first.measures["noise"]
    names = [one.utterance.stem for one in mixed[2:4]]
    assert list(first.pictures) == [
        f"{kind}/{name}" for name in names for kind in ("validation", "recording")
    ]
    for name in names:
        assert first.pictures[f"validation/{name}"].shape == first.pictures[f"recording/{name}"].shape
        assert first.pictures[f"recording/{name}"].min() >= MEL.silence - 1e-4
    assert model.training


def test_the_score_is_a_mean_over_frames_of_what_each_utterance_has_alone(folder, mixed, settings):
    def measured(validation):
        return job_of(decoder(), settings(), folder, mixed, validation).objective.validate(Progress())

    both = measured(mixed[:2])
    one, other = measured(mixed[:1]), measured(mixed[1:2])
    n_frames = [len(each.codes) * 96000 // 22050 for each in mixed[:2]]

    assert n_frames[0] != n_frames[1]
    for name in ("noise", "variance", "first_guess"):
        total = one.measures[name] * n_frames[0] + other.measures[name] * n_frames[1]
        assert both.measures[name] == pytest.approx(total / sum(n_frames), rel=1e-5)


@pytest.fixture
def run(folder, mixed, settings, tmp_path):
    """A run of a few steps: run(name, steps=6)."""

    def go(name, *, is_resumed=False, **changes):
        chosen = settings(**{"loss": LossWeights(noise_from_step=2), "checkpoint_every_steps": 2, **changes})
        data = Data(recordings=folder, filelist=folder)
        recipe = Recipe(stage="codes-to-spec", name=name, runs=tmp_path / "runs", data=data, training=chosen)
        torch.manual_seed(chosen.seed)
        model = decoder().train()
        job = job_of(model, chosen, folder, mixed[:4], mixed[4:])
        return (resume if is_resumed else start)(recipe, job, device="cpu")

    return go


@pytest.mark.parametrize("stopped_at", [1, 4])  # before noise counts, and after
def test_a_run_goes_on_to_the_same_end_bit_for_bit(run, compare, stopped_at):
    whole = run("whole", steps=6)
    run("stopped", steps=stopped_at)
    torch.manual_seed(99)
    resumed = run("stopped", steps=6, is_resumed=True)

    ours, theirs = (folder.run / "checkpoints" / "step-000006" for folder in (resumed, whole))
    for name in ("model.safetensors", "state.safetensors"):
        assert (ours / name).read_bytes() == (theirs / name).read_bytes()


def test_what_is_kept_is_a_decoder_ready_to_speak(run):
    finished = run("kept", steps=2)
    loaded = load_model(finished.model)

    assert loaded.stage == "codes-to-spec"
    assert loaded.model.config == DIFFUSION
    assert loaded.description.mel == MEL

"""Training of UnivNet: what it hears, when each side learns, what is kept, and that it goes on."""

import signal
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from building.training import is_same, train, weights
from building.univnets import CONFIG, JUDGES, spoken_item, tiny_univnet_job
from retimbre.audio.mel import log_mel
from retimbre.audio.waveform import Audio
from retimbre.errors import DataError, RecipeError
from retimbre.evaluate.perceptual import perceptual_score
from retimbre.models.load import load_model
from retimbre.models.univnet.loss import Pair, stft_loss
from retimbre.recipe.training import LossWeights
from retimbre.training.batching import Key
from retimbre.training.objective import Progress
from retimbre.training.run import resume, start
from retimbre.training.segments import delayed
from retimbre.training.univnet import univnet_job

HOP = CONFIG.hop_samples


@pytest.fixture
def begin(tiny_recipe):
    """Start or resume a run: begin(settings())."""

    def run(chosen, *, name="run", listener=None, is_resumed=False):
        how = resume if is_resumed else start
        recipe = tiny_recipe("spec-to-wav", chosen, name=name)
        return how(recipe, tiny_univnet_job(chosen), listener=listener, device="cpu")

    return run


class Stopper:
    """A listener that raises a signal at one step."""

    def __init__(self, at, number):
        self.at, self.number = at, number

    def say(self, label, text):
        pass

    def progress(self, task, done, total, note=""):
        if done == self.at:
            signal.raise_signal(self.number)


def checkpoint(run, step):
    return load_file(run / "checkpoints" / f"step-{step:06d}" / "model.safetensors")


def batch_of(job, *keys):
    return job.collate([job.dataset[key] for key in keys])


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_a_few_steps_on_one_batch_lower_the_loss(settings, precision):
    chosen = settings(steps=15, learning_rate=0.02, precision=precision, adversarial_from_step=999)
    job = tiny_univnet_job(chosen)
    batch = batch_of(job, Key(0, 0), Key(1, 0))

    logged = train(job, chosen, batches=[batch] * 15)

    first, last = logged[0]["generator/stft"], sum(step["generator/stft"] for step in logged[-3:]) / 3
    assert last < 0.8 * first


def test_both_sides_learn_from_one_batch(settings):
    chosen = settings(steps=12, learning_rate=0.005)
    job = tiny_univnet_job(chosen)

    logged = train(job, chosen, batches=[batch_of(job, Key(0, 0), Key(2, 0))] * 12)

    for name in ("generator/stft", "discriminators/adversarial"):
        assert logged[-1][name] < logged[0][name]


def test_only_the_discriminators_move_in_their_first_steps(settings):
    chosen = settings(steps=3, discriminators_first_steps=2)
    job = tiny_univnet_job(chosen)
    before = {part: weights(job, part) for part in ("generator", "discriminators")}

    logged = train(job, replace_steps(chosen, 2))
    assert is_same(before["generator"], weights(job, "generator"))
    assert not is_same(before["discriminators"], weights(job, "discriminators"))
    assert not [name for step in logged for name in step if name.startswith("generator/")]

    train(job, chosen, progress=Progress(step=2))
    assert not is_same(before["generator"], weights(job, "generator"))


def replace_steps(settings, steps):
    return settings.model_copy(update={"steps": steps})


def test_discriminators_join_at_the_step_of_the_recipe(settings):
    chosen = settings(steps=3, adversarial_from_step=2)
    job = tiny_univnet_job(chosen)
    before = weights(job, "discriminators")

    logged = train(job, replace_steps(chosen, 2))
    assert is_same(before, weights(job, "discriminators"))
    assert "generator/adversarial" not in logged[-1]

    logged = train(job, chosen, progress=Progress(step=2))
    assert not is_same(before, weights(job, "discriminators"))
    assert logged[-1]["generator/adversarial"] > 0


def test_the_gradients_of_each_side_are_clipped(settings):
    chosen = settings(steps=1, clip_norm=1e-3)
    job = tiny_univnet_job(chosen)

    (logged,) = train(job, chosen)

    for part in ("generator", "discriminators"):
        clipped = [p.grad for p in job.objective.parts()[part].parameters() if p.grad is not None]
        norm = torch.cat([gradient.flatten() for gradient in clipped]).norm().item()
        assert norm == pytest.approx(1e-3, rel=1e-3)
        assert logged[f"{part}/gradient_norm"] > 1e-3


def test_every_tensor_of_both_sides_moves(settings):
    chosen = settings(steps=2)
    job = tiny_univnet_job(chosen)
    before = {part: weights(job, part) for part in ("generator", "discriminators")}

    train(job, chosen)

    for part, old in before.items():
        still = [name for name, tensor in weights(job, part).items() if tensor.equal(old[name])]
        assert still == []


@pytest.mark.parametrize("lengths", [(20,), (13, 13), (30, 7, 12)], ids=["one", "two short", "all kinds"])
def test_padding_changes_no_loss(settings, lengths):
    """Losses of a batch are the mean of those of its segments alone, with the same noise for each."""
    chosen = settings(segment_frames=20)
    job = tiny_univnet_job(chosen, lengths=lengths)
    items = [job.dataset[Key(number, 0)] for number in range(len(lengths))]
    noise = torch.randn(len(items), CONFIG.noise_dim, 20)

    together = losses(job, items, noise)
    alone = [losses(job, [item], noise[row : row + 1, :, : item.n_frames]) for row, item in enumerate(items)]

    assert [item.n_frames for item in items] == [min(20, n) for n in lengths]
    for name in ("adversarial", "judged"):
        mean = torch.stack([each[name] for each in alone]).mean()
        torch.testing.assert_close(together[name], mean, rtol=1e-4, atol=1e-6)
    pairs = [pair for each in alone for pair in each["pairs"]]
    torch.testing.assert_close(together["stft"], 2.5 * stft_loss(pairs), rtol=1e-4, atol=1e-6)


def losses(job, items, noise):
    batch = job.collate(items)
    before = torch.randn
    torch.randn = lambda shape: noise[..., : shape[-1]]
    try:
        pairs = job.objective.begin(batch, Progress())
    finally:
        torch.randn = before
    judges, generator = job.objective.turns()
    found = generator.losses(batch, pairs, Progress())
    return {"pairs": pairs, "judged": judges.losses(batch, pairs, Progress())["adversarial"], **found}


def test_a_segment_is_cut_out_of_the_recording_exactly_where_its_spec_is(settings):
    dataset = tiny_univnet_job(settings(segment_frames=8)).dataset
    places = set()
    for draw in range(40):
        segment, whole = dataset[Key(0, draw)], dataset.items[0]
        frames, waves = whole.spec.unfold(1, 8, 1), whole.samples.unfold(0, 8 * HOP, HOP)
        (place,) = [p for p in range(frames.shape[1]) if frames[:, p].equal(segment.spec)]
        assert waves[place].equal(segment.samples)
        places.add(place)

    assert len(places) > 10


def test_the_target_comes_as_late_as_the_recipe_says(settings):
    plain, late = (
        tiny_univnet_job(settings(target_delay_samples=delay)).dataset.items[1] for delay in (0, 128)
    )

    assert late.spec.equal(plain.spec)
    assert late.samples.equal(delayed(plain.samples, 128))


def reach_frames(model, n_frames=60):
    """How many frames to either side a sample depends on, by its gradient."""
    spec = torch.randn(1, CONFIG.n_mels, n_frames, requires_grad=True)
    noise = torch.randn(1, CONFIG.noise_dim, n_frames, requires_grad=True)
    middle = n_frames // 2
    model(spec, noise)[..., middle * HOP : (middle + 1) * HOP].sum().backward()
    moved = (spec.grad.abs().sum(1) + noise.grad.abs().sum(1)).squeeze(0).nonzero().flatten()
    return max(middle - int(moved.min()), int(moved.max()) - middle)


def test_training_computes_what_inference_computes(settings):
    """Away from a segment's edges its sound is that of the whole utterance, bit by bit the same samples."""
    job = tiny_univnet_job(settings())
    model, whole = job.objective.generator, spoken_item(60, 3)
    reach = reach_frames(model)
    noise = torch.randn(1, CONFIG.noise_dim, 60)
    first, n_frames = 11, 2 * reach + 12
    segment = slice(first, first + n_frames)

    trained = model.train()(whole.spec[None, :, segment], noise[..., segment])
    behind = torch.randn(1, CONFIG.noise_dim, 10)
    spoken = model.eval().speak(whole.spec[None], torch.cat([noise, behind], dim=2))

    assert reach < 20
    inside = slice(reach * HOP, (n_frames - reach) * HOP)
    expected = spoken[..., first * HOP : (first + n_frames) * HOP]
    torch.testing.assert_close(trained[..., inside], expected[..., inside], rtol=1e-5, atol=1e-6)
    assert not torch.allclose(trained[..., :HOP], expected[..., :HOP], atol=1e-4)


def test_validation_speaks_whole_utterances_always_from_the_same_noise(settings):
    job = tiny_univnet_job(settings())
    (item,) = job.objective.validation.values()
    with torch.no_grad():
        verdict, again = (job.objective.validate(Progress()) for _ in range(2))
        model = job.objective.generator.eval()
        noise = model.noise_for(item.spec[None], torch.Generator().manual_seed(0))
        generated = model.speak(item.spec[None], noise)[0, 0]

    real, fake = (Audio(samples=samples, sample_rate_hz=24_000) for samples in (item.samples, generated))
    assert verdict.score == verdict.measures["perceptual"] == pytest.approx(perceptual_score(real, fake))
    expected = stft_loss([Pair(real=item.samples[None, None], fake=generated[None, None])])
    assert verdict.measures["stft"] == pytest.approx(expected.item())
    mel = job.description.mel
    error = (log_mel(generated, mel) - log_mel(item.samples, mel)).abs().mean().item()
    assert verdict.measures["mel_distance"] == pytest.approx(error)
    assert verdict.sounds["validation/held"][0].equal(generated)
    assert again.measures == verdict.measures


def test_a_weight_of_the_recipe_scales_its_loss(settings):
    def losses(**factors):
        job = tiny_univnet_job(settings(loss=LossWeights(**factors)))
        batch = batch_of(job, Key(0, 0), Key(1, 0))
        torch.manual_seed(3)
        pairs = job.objective.begin(batch, Progress())
        return job.objective.turns()[1].losses(batch, pairs, Progress())

    plain, changed = losses(stft=1.0, adversarial=1.0), losses(stft=2.0, adversarial=3.0)

    assert plain.keys() == {"stft", "adversarial"}
    torch.testing.assert_close(changed["stft"], 2 * plain["stft"])
    torch.testing.assert_close(changed["adversarial"], 3 * plain["adversarial"])
    torch.testing.assert_close(losses()["stft"], 2.5 * plain["stft"])


def test_what_is_kept_can_be_loaded_and_trained_on(settings, tmp_path):
    job = tiny_univnet_job(settings(steps=1))
    train(job, settings(steps=1))
    job.keep(tmp_path / "kept.safetensors", 7)
    loaded = load_model(tmp_path / "kept.safetensors")
    spec, noise = torch.randn(1, CONFIG.n_mels, 12), torch.randn(1, CONFIG.noise_dim, 12)

    assert (loaded.description.family, loaded.description.step) == ("univnet", 7)
    assert (loaded.stage, loaded.model.config) == ("spec-to-wav", CONFIG)
    assert loaded.description.sizes["periods"] == list(JUDGES.periods)
    assert loaded.model(spec, noise).equal(job.objective.generator.eval()(spec, noise))
    kept = job.objective.discriminators.state_dict()
    assert loaded.discriminators.keys() == kept.keys()
    assert all(loaded.discriminators[name].equal(kept[name]) for name in kept)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_the_run_goes_on_to_the_same_end(begin, settings, number):
    chosen = settings(steps=5, segment_frames=16)
    whole = begin(chosen, name="whole")
    stopped = begin(chosen, listener=Stopper(2, number))
    assert (stopped.was_interrupted, stopped.progress.step) == (True, 2)

    finished = begin(chosen, is_resumed=True)

    assert is_same(checkpoint(finished.run, 5), checkpoint(whole.run, 5))
    metrics = [(run / "metrics.jsonl").read_text(encoding="utf-8") for run in (finished.run, whole.run)]
    assert metrics[0] == metrics[1]


def test_validation_disturbs_no_random_numbers(begin, settings):
    often = begin(settings(steps=3, validate_every_steps=1), name="often")
    seldom = begin(settings(steps=3), name="seldom")

    counts = [(run / "metrics.jsonl").read_text().count("validation") for run in (often.run, seldom.run)]
    assert counts == [4, 2]
    assert is_same(checkpoint(often.run, 3), checkpoint(seldom.run, 3))


def test_other_noise_is_drawn_at_every_step(settings):
    job = tiny_univnet_job(settings())
    batch = batch_of(job, Key(0, 0))

    one, other = (job.objective.begin(batch, Progress())[0].fake for _ in range(2))

    assert not one.equal(other)


def test_segments_and_recordings_that_are_too_short_are_refused(settings):
    with pytest.raises(RecipeError, match=r"expected training.segment_frames of at least 5, found 4"):
        tiny_univnet_job(settings(segment_frames=4))
    job = tiny_univnet_job(settings(segment_frames=5), lengths=(5, 6))
    assert batch_of(job, Key(0, 0), Key(1, 0)).n_frames.tolist() == [5, 5]

    short = replace(spoken_item(5, 1), spec=torch.randn(20, 4), samples=torch.randn(4 * HOP))
    with pytest.raises(DataError, match="1 utterances are too short .* expected at least 5 frames, found 4"):
        job_with(short, settings())


def job_with(item, chosen):
    job = tiny_univnet_job(chosen)
    objective = job.objective
    return univnet_job(
        objective.generator,
        objective.discriminators,
        job.description,
        chosen,
        training=[item],
        validation=objective.validation,
    )

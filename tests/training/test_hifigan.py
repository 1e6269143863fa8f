"""What training a vocoder minimises, what it hears, and what it is judged by."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from retimbre.evaluate.perceptual import perceptual_score
from retimbre.models.hifigan.batch import VocoderItem
from retimbre.models.load import load_model
from retimbre.recipe.training import LossWeights
from retimbre.training.batching import Key
from retimbre.training.objective import Progress
from retimbre.training.segments import SegmentDataset, delayed


@given(n=st.integers(1, 30), shift=st.integers(-40, 40))
def test_a_delayed_recording_is_as_long_and_silent_where_nothing_was(n, shift):
    samples = torch.randn(n) + 5
    moved = delayed(samples, shift)

    for position in range(n):
        source = position - shift
        expected = samples[source] if 0 <= source < n else 0.0
        assert moved[position] == expected


@pytest.mark.parametrize("delay", [-300, -1, 0, 1, 64, 300])
def test_the_target_of_a_segment_comes_as_late_as_the_recipe_says(tiny_job, settings, delay):
    plain, late = (
        tiny_job("spec-to-wav", settings(target_delay_samples=d)).dataset.items[3] for d in (0, delay)
    )

    assert late.spec.equal(plain.spec)
    assert late.samples.equal(delayed(plain.samples, delay))


def test_a_segment_of_a_delayed_target_is_cut_where_its_spec_is(tiny_job, settings):
    plain, late = (tiny_job("spec-to-wav", settings(target_delay_samples=d)).dataset for d in (0, 256))
    key = Key(3, 1)
    one, other = plain[key], late[key]

    assert other.spec.equal(one.spec)
    assert other.samples[256:].equal(one.samples[:-256])


def test_segments_are_exactly_as_long_as_asked_and_are_those_of_the_recording(tiny_job, settings):
    dataset = tiny_job("spec-to-wav", settings(segment_frames=10)).dataset
    for epoch in range(20):
        segment, whole = dataset[Key(2, epoch)], dataset.items[2]
        frames, waves = whole.spec.unfold(1, 10, 1), whole.samples.unfold(0, 2560, 256)
        places = [p for p in range(frames.shape[1]) if frames[:, p].equal(segment.spec)]

        assert segment.spec.shape == (5, 10)
        assert len(places) == 1
        assert waves[places[0]].equal(segment.samples)


def test_every_place_of_a_recording_is_drawn(tiny_job, settings):
    dataset = tiny_job("spec-to-wav", settings(segment_frames=10)).dataset
    firsts = {float(dataset[Key(0, epoch)].samples[5]) for epoch in range(200)}

    assert len(firsts) == 11  # 20 frames, segments of 10


def test_a_segment_depends_on_seed_item_and_pass_only(tiny_job, settings):
    one, same, other = (tiny_job("spec-to-wav", settings(seed=seed)).dataset for seed in (1, 1, 2))
    keys = [Key(item, epoch) for item in range(5) for epoch in range(5)]

    assert all(one[key].samples.equal(same[key].samples) for key in reversed(keys))
    assert not all(one[key].samples.equal(other[key].samples) for key in keys)


def test_a_recording_shorter_than_a_segment_is_padded_with_silence(tiny_job, settings):
    job = tiny_job("spec-to-wav", settings(segment_frames=30))
    segment = job.dataset[Key(0, 0)]

    assert segment.spec.shape == (5, 30)
    assert segment.spec[:, 20:].eq(job.description.mel.silence).all()
    assert segment.samples[20 * 256 :].eq(0).all()
    assert segment.samples[: 20 * 256].abs().sum() > 0


def test_the_discriminators_do_not_hear_what_the_generator_answers_for(tiny_job, settings):
    job = tiny_job("spec-to-wav", settings())
    batch = job.collate([job.dataset[Key(0, 0)], job.dataset[Key(1, 0)]])
    fake = job.objective.begin(batch, Progress())
    discriminators, _ = job.objective.turns()
    sum(discriminators.losses(batch, fake, Progress()).values()).backward()

    assert all(parameter.grad is None for parameter in job.objective.generator.parameters())


def test_a_weight_of_the_recipe_scales_its_loss(tiny_job, settings):
    def losses(**weights):
        job = tiny_job("spec-to-wav", settings(loss=LossWeights(**weights)))
        job.objective.discriminators.eval()  # spectral norm would go on
        batch = job.collate([job.dataset[Key(0, 0)], job.dataset[Key(1, 0)]])
        _, generator = job.objective.turns()
        return generator.losses(batch, job.objective.begin(batch, Progress()), Progress())

    plain = losses(mel=1.0, adversarial=1.0, feature=1.0)
    changed = losses(mel=2.0, adversarial=3.0, feature=4.0)

    for factor, name in ((2, "mel"), (3, "adversarial"), (4, "feature")):
        torch.testing.assert_close(changed[name], factor * plain[name])


def test_validation_takes_whole_utterances_and_the_perceptual_score_decides(tiny_job, settings):
    from retimbre.audio.waveform import Audio

    job = tiny_job("spec-to-wav", settings())
    (item,) = job.objective.validation.values()
    with torch.no_grad():
        verdict = job.objective.validate(Progress())
        generated = job.objective.generator.eval()(item.spec.unsqueeze(0))[0, 0]
    real = Audio(samples=item.samples, sample_rate_hz=22050)

    expected = perceptual_score(real, Audio(samples=generated, sample_rate_hz=22050))
    assert verdict.score == verdict.measures["perceptual"] == pytest.approx(expected)
    assert verdict.sounds["validation/held"][0].equal(generated)


def test_what_is_kept_can_be_loaded_and_trained_on(tiny_job, settings, tmp_path):
    job = tiny_job("spec-to-wav", settings())
    job.keep(tmp_path / "kept.safetensors", 7)
    loaded = load_model(tmp_path / "kept.safetensors")
    spec = torch.randn(1, 5, 12)

    assert loaded.description.step == 7
    assert loaded.description.sizes["periods"] == [2]
    torch.testing.assert_close(loaded.model(spec), job.objective.generator.eval()(spec))
    kept = job.objective.discriminators.state_dict()
    assert loaded.discriminators.keys() == kept.keys()
    assert all(loaded.discriminators[name].equal(kept[name]) for name in kept)


def test_items_of_unequal_length_are_refused():
    from retimbre.audio.mel import mel_librosa
    from retimbre.errors import DataError

    item = VocoderItem(spec=torch.randn(5, 10), samples=torch.randn(2559))
    dataset = SegmentDataset([item], mel_librosa(n_mels=5), segment_frames=4, seed=1)

    with pytest.raises(DataError, match=r"not equally long: expected 2560 .* found 2559"):
        dataset[Key(0, 0)]

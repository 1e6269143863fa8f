"""Levels tell silence, clipping and broken samples from speech."""

import pytest
import torch

from retimbre.audio.waveform import Audio
from retimbre.evaluate.sanity import levels


def audio(samples: torch.Tensor) -> Audio:
    return Audio(samples=samples, sample_rate_hz=22050)


def test_speech_is_sound(voice):
    found = levels(voice())
    assert found.is_sound
    assert -40 < found.rms_db < found.peak_db < 0


def test_a_sine_at_full_scale_has_its_textbook_level():
    found = levels(audio(torch.sin(torch.arange(22050) * 2 * torch.pi * 441 / 22050)))
    assert found.peak_db == pytest.approx(0, abs=0.05)
    assert found.rms_db == pytest.approx(-3.01, abs=0.05)


def test_flattened_peaks_are_clipped_and_one_high_sample_is_not():
    samples = 0.1 * torch.randn(1000, generator=torch.Generator().manual_seed(0))
    samples[10] = 1.0
    assert not levels(audio(samples)).is_clipped
    samples[20:24] = -1.0
    assert levels(audio(samples)).clipped_share == pytest.approx(0.004)


def test_one_sample_beyond_full_scale_is_clipped_because_no_file_can_hold_it():
    samples = 0.1 * torch.randn(1000, generator=torch.Generator().manual_seed(0))
    samples[10] = -1.2
    assert levels(audio(samples)).clipped_share == pytest.approx(0.001)


@pytest.mark.parametrize("samples", [torch.zeros(100), torch.full((100,), 1e-4), torch.empty(0)])
def test_nothing_to_hear_is_silent(samples):
    found = levels(audio(samples))
    assert found.is_silent
    assert not found.is_sound


def test_samples_that_are_not_numbers_are_counted():
    samples = 0.1 * torch.ones(100)
    samples[3:5] = float("nan")
    found = levels(audio(samples))
    assert found.n_not_finite == 2
    assert not found.is_sound
    assert found.rms_db < 0

"""Periodicity tells a voice from a breath."""

import numpy as np
import pytest
import torch

from retimbre.audio.waveform import Audio
from retimbre.evaluate.periodicity import periodicity, periodicity_error

RATE_HZ = 22050


def test_a_steady_tone_repeats_itself_and_noise_does_not():
    tone = np.sin(2 * np.pi * 137 * np.arange(11_027) / RATE_HZ)
    noise = np.random.default_rng(0).standard_normal(11_027)
    assert np.median(periodicity(tone, RATE_HZ, floor_power=1e-12)) == pytest.approx(1, abs=0.02)
    assert np.median(periodicity(noise, RATE_HZ, floor_power=1e-12)) < 0.4


def test_silence_has_no_period():
    assert periodicity(np.zeros(5000), RATE_HZ, floor_power=1e-12).max() == 0


def test_loudness_does_not_matter(voice):
    assert periodicity_error(voice(), voice(gain=0.05)) < 0.01


def test_a_breathy_copy_errs_more_than_a_clean_one(voice):
    assert periodicity_error(voice(), voice(hiss=1.0)) > 2 * periodicity_error(voice(), voice(hiss=0.05))


def test_silence_against_silence_is_no_error():
    silence = Audio(samples=torch.zeros(5001), sample_rate_hz=RATE_HZ)
    assert periodicity_error(silence, silence) == 0

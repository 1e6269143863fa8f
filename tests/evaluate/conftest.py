"""Small voices made of harmonics and breath, whose properties are known."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from retimbre.audio.waveform import Audio

RATE_HZ = 22050


@pytest.fixture
def voice() -> Callable[..., Audio]:
    """Two voiced stretches around an unvoiced one; pitch, length, level and hiss can be set."""

    def make(*, f0_hz=140.0, n_samples=17_321, seed=0, hiss=0.01, gain=0.1, rate_hz=RATE_HZ) -> Audio:
        generator = np.random.default_rng(seed)
        time_s = np.arange(n_samples) / rate_hz
        phase = 2 * np.pi * f0_hz * (time_s + 0.002 * np.sin(2 * np.pi * 3 * time_s))
        harmonics = sum(np.sin(k * phase) / k for k in range(1, 20))
        is_voiced = np.abs(time_s - time_s[-1] / 2) > 0.1
        samples = gain * (harmonics * is_voiced + hiss * generator.standard_normal(n_samples))
        return Audio(samples=torch.from_numpy(samples).float(), sample_rate_hz=rate_hz)

    return make


@pytest.fixture
def hissed() -> Callable[[Audio, float], Audio]:
    """The same recording under more noise."""

    def make(audio: Audio, share: float) -> Audio:
        noise = torch.randn(audio.samples.shape, generator=torch.Generator().manual_seed(3))
        return Audio(samples=audio.samples + share * noise, sample_rate_hz=audio.sample_rate_hz)

    return make

"""Magnitudes against a transform by hand in float64."""

import numpy as np
import pytest
import torch

from building.magnitudes import magnitudes_by_hand
from retimbre.models.univnet.magnitudes import FEWEST_SAMPLES, POWER_FLOOR, RESOLUTIONS, magnitudes

RESOLUTION = pytest.mark.parametrize("resolution", RESOLUTIONS, ids=lambda r: f"{r.n_fft_samples}")


@RESOLUTION
@pytest.mark.parametrize("n_samples", [FEWEST_SAMPLES, 1280, 4099])
def test_magnitudes_are_those_of_each_frame_by_itself(resolution, n_samples):
    wave = 0.3 * torch.randn(3, 1, n_samples, generator=torch.Generator().manual_seed(n_samples))

    found = magnitudes(wave, resolution)

    expected = np.stack([magnitudes_by_hand(samples.double().numpy(), resolution) for samples in wave[:, 0]])
    torch.testing.assert_close(found.double(), torch.from_numpy(expected), rtol=1e-4, atol=1e-4)


@RESOLUTION
def test_silence_has_a_floor_and_finite_gradients(resolution):
    wave = torch.zeros(1, 1, 2000, requires_grad=True)

    found = magnitudes(wave, resolution)
    found.log().sum().backward()

    assert found.min().item() == pytest.approx(POWER_FLOOR**0.5)
    assert wave.grad.isfinite().all()


@RESOLUTION
def test_autocast_changes_nothing(resolution):
    wave = torch.randn(2, 1, 2000)

    with torch.autocast("cpu", torch.bfloat16):
        found = magnitudes(wave, resolution)

    assert found.dtype == torch.float32
    assert found.equal(magnitudes(wave, resolution))

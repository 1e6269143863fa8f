"""Mel filters: the curves, the norms, and the frozen filters of other projects."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file

from retimbre.audio import filterbank


def filters(curve, *, rate_hz, n_mels, high_hz, has_equal_area=True):
    edges_hz = filterbank.band_edges_hz(curve, n_mels=n_mels, low_hz=0.0, high_hz=high_hz)
    return filterbank.triangles(
        edges_hz, sample_rate_hz=rate_hz, n_fft_samples=1024, has_equal_area=has_equal_area
    )


@pytest.mark.parametrize("curve", [filterbank.HTK, filterbank.SLANEY], ids=["htk", "slaney"])
def test_a_curve_leads_there_and_back(curve):
    hz = np.sort(np.random.default_rng(0).uniform(0, 12000, 50))

    np.testing.assert_allclose(curve.to_hz(curve.to_mels(hz)), hz, rtol=1e-12)
    assert (np.diff(curve.to_mels(hz)) > 0).all()


def test_the_curves_go_through_their_defining_points():
    hz = np.array([0.0, 700.0, 1000.0, 6400.0])

    np.testing.assert_allclose(filterbank.HTK.to_mels(hz)[:2], [0.0, 2595 * np.log10(2)])
    np.testing.assert_allclose(filterbank.SLANEY.to_mels(hz)[[0, 2, 3]], [0.0, 15.0, 42.0])


def test_the_curves_are_not_interchangeable():
    htk = filters(filterbank.HTK, rate_hz=22050, n_mels=80, high_hz=8000.0)
    slaney = filters(filterbank.SLANEY, rate_hz=22050, n_mels=80, high_hz=8000.0)

    assert np.abs(htk - slaney).max() > 1e-3


def test_without_a_norm_neighbouring_triangles_add_up_to_one():
    weights = filters(filterbank.HTK, rate_hz=22050, n_mels=20, high_hz=8000.0, has_equal_area=False)

    inside = np.flatnonzero(weights[1:-1].argmax(axis=0) > 0)
    np.testing.assert_allclose(weights[:, inside].sum(axis=0), 1.0, rtol=1e-9)


def test_filters_equal_the_references(parity):
    stored = load_file(parity("mel_tortoise") / "io.safetensors")
    sizes = json.loads((parity("mel_tortoise") / "meta.json").read_text())

    htk = filters(filterbank.HTK, rate_hz=sizes["mel80"]["sr"], n_mels=80, high_hz=8000.0)
    slaney = filters(filterbank.SLANEY, rate_hz=sizes["mel100"]["sr"], n_mels=100, high_hz=12000.0)

    np.testing.assert_allclose(htk, stored["filterbank80"].T, atol=2e-7)  # made there in float32
    np.testing.assert_allclose(slaney, stored["filterbank100"], atol=5e-9)

"""Triangular mel filters on two frequency curves, worked out in float64.

The two curves: HTK's (https://en.wikipedia.org/wiki/Mel_scale) and the one of Slaney's Auditory Toolbox,
which is straight up to 1 kHz and logarithmic above.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

Hertz = Float64[np.ndarray, "points"]
Mels = Float64[np.ndarray, "points"]

SLANEY_HZ_PER_MEL = 200 / 3
SLANEY_KNEE_HZ = 1000.0
SLANEY_KNEE_MELS = SLANEY_KNEE_HZ / SLANEY_HZ_PER_MEL
SLANEY_LOG_STEP = np.log(6.4) / 27  # 27 mels above the knee multiply the frequency by 6.4


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A way from hertz to mels and back."""

    to_mels: Callable[[Hertz], Mels]
    to_hz: Callable[[Mels], Hertz]


def _htk_to_mels(hz: Hertz) -> Mels:
    return 2595.0 * np.log10(1.0 + hz / 700.0)


def _htk_to_hz(mels: Mels) -> Hertz:
    return 700.0 * (10.0 ** (mels / 2595.0) - 1.0)


def _slaney_to_mels(hz: Hertz) -> Mels:
    above = SLANEY_KNEE_MELS + np.log(np.maximum(hz, SLANEY_KNEE_HZ) / SLANEY_KNEE_HZ) / SLANEY_LOG_STEP
    return np.where(hz < SLANEY_KNEE_HZ, hz / SLANEY_HZ_PER_MEL, above)


def _slaney_to_hz(mels: Mels) -> Hertz:
    above = SLANEY_KNEE_HZ * np.exp(SLANEY_LOG_STEP * (np.maximum(mels, SLANEY_KNEE_MELS) - SLANEY_KNEE_MELS))
    return np.where(mels < SLANEY_KNEE_MELS, mels * SLANEY_HZ_PER_MEL, above)


HTK = Curve(to_mels=_htk_to_mels, to_hz=_htk_to_hz)
SLANEY = Curve(to_mels=_slaney_to_mels, to_hz=_slaney_to_hz)


def band_edges_hz(curve: Curve, *, n_mels: int, low_hz: float, high_hz: float) -> Hertz:
    """The n_mels + 2 corners of the triangles, equally far apart on `curve`; each triangle has three."""
    low, high = curve.to_mels(np.array([low_hz, high_hz], dtype=np.float64))
    return curve.to_hz(np.linspace(low, high, n_mels + 2))


def triangles(
    edges_hz: Hertz, *, sample_rate_hz: int, n_fft_samples: int, has_equal_area: bool
) -> Float64[np.ndarray, "mels bins"]:
    """The weight of each bin of a Fourier transform in each band.

    Args:
        edges_hz: Corners from `band_edges_hz`.
        has_equal_area: Scale each triangle to area 1 over hertz (Slaney's norm) instead of height 1.
    """
    bins_hz = np.linspace(0.0, sample_rate_hz / 2, n_fft_samples // 2 + 1)
    widths_hz = np.diff(edges_hz)[:, None]
    from_edge_hz = bins_hz[None, :] - edges_hz[:, None]
    rising = from_edge_hz[:-2] / widths_hz[:-1]
    falling = -from_edge_hz[2:] / widths_hz[1:]
    weights: Float64[np.ndarray, "mels bins"] = np.maximum(0.0, np.minimum(rising, falling))
    if has_equal_area:
        weights *= 2.0 / (edges_hz[2:] - edges_hz[:-2])[:, None]
    return weights

"""Short-time spectra in float64, the ground of the measures that do not follow a model's own MelSpec.

Axes used in this file:
    samples  of the waveform
    frames   windows of the waveform, centred on multiples of the hop
    bins     of the discrete Fourier transform, from 0 Hz to half the sample rate
    bands    triangular filters, equally wide on the HTK mel scale
"""

from functools import lru_cache

import numpy as np
from jaxtyping import Float64

from retimbre.audio import filterbank

AUDIBLE_RANGE_DB = 80.0  # what lies further below the loudest cell of the reference cannot be heard
DB_PER_NEPER = 20 / np.log(10)


def windows(
    samples: Float64[np.ndarray, "samples"], *, window_samples: int, hop_samples: int
) -> Float64[np.ndarray, "frames window"]:
    """Overlapping pieces of the waveform; piece k is centred on sample k * hop, zeros beyond the edges."""
    padded = np.pad(samples, window_samples // 2 + 1)
    pieces = np.lib.stride_tricks.sliding_window_view(padded[1:], window_samples)
    n_frames = 1 + (len(samples) - 1) // hop_samples
    return np.asarray(pieces[::hop_samples][:n_frames])


def power_spectrum(
    samples: Float64[np.ndarray, "samples"], *, window_samples: int, hop_samples: int, n_fft: int
) -> Float64[np.ndarray, "frames bins"]:
    """Squared magnitudes under a Hann window."""
    pieces = windows(samples, window_samples=window_samples, hop_samples=hop_samples)
    hann = np.hanning(window_samples + 1)[:-1]
    spectrum = np.fft.rfft(pieces * hann, n=n_fft)
    return np.asarray(spectrum.real**2 + spectrum.imag**2)


@lru_cache(maxsize=8)
def mel_filters(
    sample_rate_hz: int, n_fft: int, n_bands: int, high_hz: float
) -> Float64[np.ndarray, "bands bins"]:
    """Triangles of height 1 whose corners are equally spaced on the HTK mel scale from 0 to `high_hz`."""
    edges_hz = filterbank.band_edges_hz(filterbank.HTK, n_mels=n_bands, low_hz=0.0, high_hz=high_hz)
    filters = filterbank.triangles(
        edges_hz, sample_rate_hz=sample_rate_hz, n_fft_samples=n_fft, has_equal_area=False
    )
    return np.asarray(filters, dtype=np.float64)


def audible_log_power(
    power: Float64[np.ndarray, "frames cells"], *, loudest: float
) -> Float64[np.ndarray, "frames cells"]:
    """Natural logarithm of power, not below what can be heard beside the `loudest` cell."""
    floor = max(loudest * 10 ** (-AUDIBLE_RANGE_DB / 10), np.finfo(np.float64).tiny)
    return np.asarray(np.log(np.maximum(power, floor)))


def samples_of(duration_ms: float, sample_rate_hz: int) -> int:
    """The even number of samples nearest to a duration, at least two."""
    return max(2, 2 * round(duration_ms * sample_rate_hz / 2000))


def power_of_two_from(n_samples: int) -> int:
    """The smallest power of two that is not smaller."""
    return 1 << (n_samples - 1).bit_length()

"""How strongly each moment repeats itself: metallic and hoarse voices repeat too much or too little.

Axes used in this file:
    frames  moments, 5 ms apart
    window  samples of one moment
"""

import numpy as np
from jaxtyping import Float64

from retimbre.audio.waveform import Audio
from retimbre.evaluate.analysis import AUDIBLE_RANGE_DB, power_of_two_from, samples_of, windows
from retimbre.evaluate.pairing import Samples, pair

WINDOW_MS = 40.0  # two periods of the lowest voice
HOP_MS = 5.0
LOWEST_VOICE_HZ = 60.0
HIGHEST_VOICE_HZ = 500.0


def periodicity(
    samples: Samples, sample_rate_hz: int, *, floor_power: float
) -> Float64[np.ndarray, "frames"]:
    """Per frame the highest normalised autocorrelation at a lag of a voice: 0 noise, 1 exact repetition.

    Args:
        floor_power: Mean power of a noise that is thought to be there: what is softer has no period.
    """
    window_samples = samples_of(WINDOW_MS, sample_rate_hz)
    pieces = windows(samples, window_samples=window_samples, hop_samples=samples_of(HOP_MS, sample_rate_hz))
    hann = np.hanning(window_samples + 1)[:-1]
    n_fft = power_of_two_from(2 * window_samples)
    correlation = _autocorrelation(pieces * hann, n_fft)
    first, last = (round(sample_rate_hz / hz) for hz in (HIGHEST_VOICE_HZ, LOWEST_VOICE_HZ))
    # The window fades what repeats; its own autocorrelation is what an exact repetition would have.
    fading = _autocorrelation(hann[None, :], n_fft)[0]
    power = correlation[:, :1] + floor_power * fading[0]
    repeated = correlation[:, first : last + 1] / (power * fading[first : last + 1] / fading[0])
    return np.asarray(repeated.max(axis=1).clip(0.0, 1.0))


def periodicity_error(reference: Audio, candidate: Audio) -> float:
    """Root mean square difference of the two periodicities, 0..1, over all frames of 5 ms.

    Both recordings get the same imagined noise 80 dB below the loudest sample of the reference, so that
    silence has no period. Also a measure of wrong voicing that needs no decision what voiced means.
    """
    two = pair(reference, candidate)
    floor_power = float((two.reference**2).max()) * 10 ** (-AUDIBLE_RANGE_DB / 10) + np.finfo(np.float64).tiny
    ours, theirs = (
        periodicity(samples, two.sample_rate_hz, floor_power=floor_power)
        for samples in (two.reference, two.candidate)
    )
    return float(np.sqrt(np.mean((ours - theirs) ** 2)))


def _autocorrelation(
    pieces: Float64[np.ndarray, "frames window"], n_fft: int
) -> Float64[np.ndarray, "frames lags"]:
    spectrum = np.fft.rfft(pieces, n=n_fft)
    return np.asarray(np.fft.irfft(spectrum.real**2 + spectrum.imag**2, n=n_fft)[:, : n_fft // 2])

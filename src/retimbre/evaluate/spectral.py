"""How far two spectra of the same speech lie apart: mel distance and mel-cepstral distortion.

Axes used in this file:
    frames  moments in time
    mels    bands of a model's own log-mel spectrogram
    coefs   mel-cepstral coefficients 1 to 13
"""

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float64
from scipy.fft import dct

from retimbre.audio.mel import MelSpec, log_mel
from retimbre.audio.waveform import Audio
from retimbre.evaluate.analysis import (
    AUDIBLE_RANGE_DB,
    DB_PER_NEPER,
    audible_log_power,
    mel_filters,
    power_of_two_from,
    power_spectrum,
    samples_of,
)
from retimbre.evaluate.pairing import pair, require_same_rate, samples_in
from retimbre.evaluate.warping import warp

CEPSTRUM_WINDOW_MS = 25.0
CEPSTRUM_HOP_MS = 5.0
N_CEPSTRUM_BANDS = 80
CEPSTRUM_TOP_HZ = 8000.0
N_COEFS = 13


def mel_distance(reference: Audio, candidate: Audio, mel: MelSpec) -> float:
    """Mean absolute difference of two log-mel spectrograms, in nepers (1 neper = 8.7 dB).

    The spectrogram is the model's own, as natural logarithm of magnitudes whatever the model itself
    uses. Every frame counts, pauses too, so a hum in a pause is found; but both sides are first raised
    to a floor 80 dB below the loudest cell of the reference, because what lies deeper is not heard and
    would otherwise outweigh the speech wherever a recording is digitally silent.
    """
    two = pair(reference, candidate, hop_samples=mel.hop_samples)
    plain = in_nepers(mel)
    ours = log_mel(torch.from_numpy(two.reference).float(), plain)
    theirs = log_mel(torch.from_numpy(two.candidate).float(), plain)
    floor = float(ours.max()) - AUDIBLE_RANGE_DB / DB_PER_NEPER
    return float((ours.clamp(min=floor) - theirs.clamp(min=floor)).abs().mean())


def in_nepers(mel: MelSpec) -> MelSpec:
    """The same bands and frames as natural logarithms of magnitudes, whatever numbers the model uses."""
    return replace(mel, power=1.0, log_range=None, band_divisors=())


def mel_cepstral_distortion(reference: Audio, candidate: Audio, *, is_warped: bool = False) -> float:
    """Mel-cepstral distortion in dB, over coefficients 1 to 13; the gain (coefficient 0) does not count.

    Definition, for whoever wants to compute the same number:

    1. Hann windows of 25 ms every 5 ms, centred, zeros beyond the edges; the power spectrum.
    2. 80 triangular filters of height 1, equally spaced on the HTK mel scale (2595 log10(1 + f/700))
       from 0 Hz to 8,000 Hz or half the sample rate; filters add up power.
    3. L = half the natural logarithm of that power (so: of a magnitude), not below a floor that lies
       80 dB under the loudest band of the reference. Pauses count, inaudible depths do not.
    4. c[m] = 2/80 * sum over bands b of L[b] cos(pi m (b + 1/2) / 80), for m = 1..13: the scale on which
       the log spectrum is c[0]/2 + sum c[m] cos(...), as mel-cepstral vocoders use it.
    5. Per frame 10/ln 10 * sqrt(2 * sum of squared differences of c[1..13]); then the mean over frames.

    On this scale the number is the root-mean-square difference, in dB, of the two smoothed spectra.
    Frames are compared one to one (teacher-forced output is aligned with its recording); with
    `is_warped` the two are first aligned by dynamic time warping and the mean goes over its path.
    Absolute values depend on all of the above: compare only numbers made by the same definition.
    """
    rate_hz = reference.sample_rate_hz
    if is_warped:
        require_same_rate(reference, candidate)
        our_power, their_power = (_band_power(samples_in(audio), rate_hz) for audio in (reference, candidate))
    else:
        two = pair(reference, candidate)
        our_power, their_power = _band_power(two.reference, rate_hz), _band_power(two.candidate, rate_hz)
    loudest = float(our_power.max())
    ours, theirs = _cepstrum(our_power, loudest), _cepstrum(their_power, loudest)
    if is_warped:
        path = warp(ours, theirs)
        ours, theirs = ours[path[:, 0]], theirs[path[:, 1]]
    per_frame = np.sqrt(2 * ((ours - theirs) ** 2).sum(axis=1))
    return float(10 / np.log(10) * per_frame.mean())


def _band_power(
    samples: Float64[np.ndarray, "samples"], sample_rate_hz: int
) -> Float64[np.ndarray, "frames bands"]:
    window_samples = samples_of(CEPSTRUM_WINDOW_MS, sample_rate_hz)
    n_fft = 2 * power_of_two_from(window_samples)  # lowest bands are narrower than bins of a plain transform
    power = power_spectrum(
        samples,
        window_samples=window_samples,
        hop_samples=samples_of(CEPSTRUM_HOP_MS, sample_rate_hz),
        n_fft=n_fft,
    )
    high_hz = min(CEPSTRUM_TOP_HZ, sample_rate_hz / 2)
    return np.asarray(power @ mel_filters(sample_rate_hz, n_fft, N_CEPSTRUM_BANDS, high_hz).T)


def _cepstrum(
    power: Float64[np.ndarray, "frames bands"], loudest: float
) -> Float64[np.ndarray, "frames coefs"]:
    log_magnitude = audible_log_power(power, loudest=loudest) / 2
    # scipy's DCT-II has a factor 2 of its own.
    return np.asarray(dct(log_magnitude, type=2, axis=1)[:, 1 : N_COEFS + 1] / N_CEPSTRUM_BANDS)

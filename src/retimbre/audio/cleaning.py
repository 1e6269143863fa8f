"""Trim silence, level loudness, find clipping."""

import math
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Bool, Float64
from scipy.signal import lfilter

from retimbre.audio.waveform import Audio
from retimbre.errors import AudioError

BLOCK_S = 0.4  # BS.1770: blocks of 400 ms, of which three quarters overlap
GATE_LUFS = -70.0
RELATIVE_GATE_LU = -10.0
LEVEL_WINDOW_S = 0.02
CLIPPED_RUN_SAMPLES = 3
HALF_A_LEVEL = 0.5 / 32768  # of 16-bit audio

Wave = Float64[np.ndarray, "samples"]
Coefficients = tuple[list[float], list[float]]  # of a filter of second order: numerator, denominator


def loudness_lufs(audio: Audio) -> float:
    """How loud a recording is to the ear (ITU-R BS.1770-4), with the filters of torchaudio's `loudness`.

    Minus infinity for silence. A recording of less than 400 ms counts as one block.
    """
    wave = _weighted(_wave(audio), audio.sample_rate_hz)
    size = min(round(BLOCK_S * audio.sample_rate_hz), len(wave))
    if size == 0:
        return -math.inf
    blocks = np.lib.stride_tricks.sliding_window_view(wave, size)[:: max(1, round(size / 4))]
    energies = np.square(blocks).mean(axis=1)
    loud = energies[energies > _energy(GATE_LUFS)]
    if loud.size == 0:
        return -math.inf
    gate = _energy(_lufs(float(loud.mean())) + RELATIVE_GATE_LU)
    return _lufs(float(loud[loud > gate].mean()))


def trim_silence(audio: Audio, *, threshold_db: float = 40.0, margin_ms: float = 100.0) -> Audio:
    """Cut what is quiet at both ends: only what `sound_bounds` finds stays."""
    first, end = sound_bounds(audio, threshold_db=threshold_db, margin_ms=margin_ms)
    return replace(audio, samples=audio.samples[first:end].clone())


def sound_bounds(audio: Audio, *, threshold_db: float = 40.0, margin_ms: float = 100.0) -> tuple[int, int]:
    """The first sample of what is not quiet, with its margin, and the one after the last.

    Args:
        threshold_db: Quiet is what lies this far below the loudest 20 ms.
        margin_ms: How much of the quiet is kept at each end, so that no sound is cut into.

    Raises:
        AudioError: if there is nothing but digital silence.
    """
    wave = _wave(audio)
    _require_sound(wave)
    window = max(1, round(LEVEL_WINDOW_S * audio.sample_rate_hz))
    sums = np.cumsum(np.square(np.pad(wave, (window, window - 1))))
    # Energy of the window that ends at each sample; the last ones end beyond the recording.
    levels = sums[window:] - sums[:-window]
    loud = np.flatnonzero(levels > levels.max() * 10 ** (-threshold_db / 10))
    first, last = sorted((int(loud[0]), int(loud[-1]) - window + 1))
    margin = round(margin_ms / 1000 * audio.sample_rate_hz)
    return max(0, first - margin), min(last + 1 + margin, audio.n_samples)


def peak_normalise(audio: Audio, peak: float = 0.95) -> Audio:
    """The same sound with its largest sample at `peak`.

    Raises:
        AudioError: if there is nothing but digital silence.
    """
    _require_sound(_wave(audio))
    return replace(audio, samples=audio.samples / audio.samples.abs().max() * peak)


def count_clipped(audio: Audio) -> int:
    """Samples in runs of three or more at the largest or the smallest value.

    Ask before resampling, which rounds the corners off; a lower volume does not hide them.
    """
    wave = _wave(audio)
    if wave.size == 0 or wave.max() - wave.min() <= 2 * HALF_A_LEVEL:
        return 0
    n_clipped = 0
    for signed in (wave, -wave):
        top = signed.max()
        if top > 0:
            n_clipped += _samples_in_runs(signed >= top - HALF_A_LEVEL)
    return n_clipped


def to_whole_hops(audio: Audio, hop_samples: int) -> Audio:
    """Cut the end so that the length is a multiple of `hop_samples`.

    Raises:
        AudioError: if not even one hop is left.
    """
    n_samples = audio.n_samples // hop_samples * hop_samples
    if n_samples == 0:
        raise AudioError(
            "a recording is too short",
            expected=f"at least one hop of {hop_samples} samples",
            found=f"{audio.n_samples} samples",
            do="leave it out",
        )
    return replace(audio, samples=audio.samples[:n_samples])


def _wave(audio: Audio) -> Wave:
    return audio.samples.detach().to("cpu", torch.float64).numpy()


def _require_sound(wave: Wave) -> None:
    if not wave.any():
        raise AudioError(
            "a recording is silent", expected="sound", found="only zeros", do="remove it from the list"
        )


def _lufs(energy: float) -> float:
    return -0.691 + 10 * math.log10(energy)


def _energy(lufs: float) -> float:
    return float(10 ** ((lufs + 0.691) / 10))


def _weighted(wave: Wave, sample_rate_hz: int) -> Wave:
    """The recording as loud in each frequency as it is to the ear (K-weighting)."""
    for numerator, denominator in (_high_shelf(sample_rate_hz), _high_pass(sample_rate_hz)):
        # Quirk: torchaudio cuts at full scale after each filter, so very loud sound measures a little less.
        wave = np.clip(lfilter(numerator, denominator, wave), -1.0, 1.0)
    return wave


def _high_shelf(
    sample_rate_hz: int, *, corner_hz: float = 1500.0, gain_db: float = 4.0, q: float = math.sqrt(0.5)
) -> Coefficients:
    """Raises what lies above the corner (https://www.w3.org/TR/audio-eq-cookbook/)."""
    angle = 2 * math.pi * corner_hz / sample_rate_hz
    amp, cosine = 10 ** (gain_db / 40), math.cos(angle)
    slope = math.sqrt(amp) * math.sin(angle) / q
    up, down = amp + 1, amp - 1
    numerator = [
        amp * (up + down * cosine + slope),
        -2 * amp * (down + up * cosine),
        amp * (up + down * cosine - slope),
    ]
    return numerator, [up - down * cosine + slope, 2 * (down - up * cosine), up - down * cosine - slope]


def _high_pass(sample_rate_hz: int, *, corner_hz: float = 38.0, q: float = 0.5) -> Coefficients:
    """Removes what lies below the corner (https://www.w3.org/TR/audio-eq-cookbook/)."""
    angle = 2 * math.pi * corner_hz / sample_rate_hz
    alpha, cosine = math.sin(angle) / (2 * q), math.cos(angle)
    half = (1 + cosine) / 2
    return [half, -2 * half, half], [1 + alpha, -2 * cosine, 1 - alpha]


def _samples_in_runs(is_extreme: Bool[np.ndarray, "samples"]) -> int:
    edges = np.diff(np.concatenate([[0], is_extreme.astype(np.int8), [0]]))
    lengths = np.flatnonzero(edges == -1) - np.flatnonzero(edges == 1)
    return int(lengths[lengths >= CLIPPED_RUN_SAMPLES].sum())

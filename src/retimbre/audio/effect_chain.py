"""Effects applied to a recording, in their order; each as SoX 14.4.2 has it, without its dither.

Where the arithmetic is not from SoX's manual, it was found by comparing results: see tests/audio/effects.

Axes used in this file:
    channels  of the recording
    samples   of each channel
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float64
from scipy.signal import lfilter

from retimbre.audio.effects import (
    Amplify,
    Channels,
    CutSilence,
    Effect,
    Normalise,
    PassFilter,
    Rate,
    Remix,
    Reverse,
)
from retimbre.audio.files import resample
from retimbre.audio.waveform import Audio
from retimbre.errors import AudioError

LEVELS_PER_S = 50  # a level is the root mean square of this part of a second, up to the present sample
Wave = Float64[np.ndarray, "channels samples"]
NewWave = Float64[np.ndarray, "new_channels new_samples"]


@dataclass(frozen=True, kw_only=True)
class Sound:
    """All channels of a recording; full scale is -1..1."""

    wave: Wave
    sample_rate_hz: int


def applied(effects: Sequence[Effect], sound: Sound) -> Sound:
    """The sound after all effects; what one of them raises above full scale is cut there, as in SoX.

    Raises:
        AudioError: if an effect leaves nothing, or asks for a channel that there is not.
    """
    for effect in effects:
        sound = _applied(effect, sound)
        sound = replace(sound, wave=np.clip(sound.wave, -1.0, 1.0))
        if sound.wave.shape[1] == 0:
            raise AudioError(
                "the effects leave nothing of it",
                expected="sound",
                found="only what counts as silence",
                do="lower the threshold of 'silence'",
            )
    return sound


def _applied(effect: Effect, sound: Sound) -> Sound:
    wave, rate_hz = sound.wave, sound.sample_rate_hz
    if isinstance(effect, Rate):
        return _resampled(sound, effect.sample_rate_hz)
    if isinstance(effect, Channels):
        wave = _with_channels(wave, effect.n)
    elif isinstance(effect, Remix):
        wave = np.stack([wave[_chosen(output, len(wave))].mean(axis=0) for output in effect.outputs])
    elif isinstance(effect, Amplify):
        wave = wave * effect.factor
    elif isinstance(effect, Normalise):
        peak = np.abs(wave).max()
        wave = wave * (effect.peak / peak) if peak else wave
    elif isinstance(effect, Reverse):
        wave = wave[:, ::-1]
    elif isinstance(effect, PassFilter):
        wave = np.asarray(lfilter(*_coefficients(effect, rate_hz), wave, axis=1))
    else:
        wave = _without_silence(wave, rate_hz, effect)
    return replace(sound, wave=wave)


def _with_channels(wave: Wave, n: int) -> NewWave:
    """Channel k of fewer is the mean of k, k + n, k + 2 n …; more of them repeat the old ones."""
    n_before = len(wave)
    if n >= n_before:
        return wave[np.arange(n) % n_before]
    return np.stack([wave[first::n].mean(axis=0) for first in range(n)])


def _chosen(ranges: Sequence[tuple[int | None, int | None]], n_channels: int) -> list[int]:
    """Indices of the channels that are mixed."""
    chosen = []
    for first, last in ranges:
        one, other = first or 1, last or n_channels
        if max(one, other) > n_channels:
            raise AudioError(
                f"'remix' asks for channel {max(one, other)}", found=f"a recording with {n_channels}"
            )
        chosen += list(range(min(one, other) - 1, max(one, other)))
    return chosen


def _resampled(sound: Sound, sample_rate_hz: int) -> Sound:
    made = [
        resample(
            Audio(samples=torch.from_numpy(channel.copy()), sample_rate_hz=sound.sample_rate_hz),
            sample_rate_hz,
        )
        for channel in sound.wave
    ]
    return Sound(wave=np.stack([np.asarray(one.samples) for one in made]), sample_rate_hz=sample_rate_hz)


def _coefficients(effect: PassFilter, sample_rate_hz: int) -> tuple[list[float], list[float]]:
    """Numerator and denominator; of second order as in https://www.w3.org/TR/audio-eq-cookbook/."""
    if effect.frequency_hz >= sample_rate_hz / 2:
        raise AudioError(
            f"'{effect.kind}' needs more than twice {effect.frequency_hz:g} Hz",
            found=f"a recording at {sample_rate_hz:,} Hz",
        )
    angle = 2 * math.pi * effect.frequency_hz / sample_rate_hz
    is_high = effect.kind == "highpass"
    if effect.n_poles == 1:
        decay = math.exp(-angle)
        half = (1 + decay) / 2
        return ([half, -half] if is_high else [1 - decay]), [1.0, -decay]
    alpha, cosine = math.sin(angle) / (2 * effect.q), math.cos(angle)
    half = (1 + cosine) / 2 if is_high else (1 - cosine) / 2
    middle = -2 * half if is_high else 2 * half
    return [half, middle, half], [1 + alpha, -2 * cosine, 1 - alpha]


# ---- silence -----------------------------------------------------------------------------------------------


def _without_silence(wave: Wave, sample_rate_hz: int, effect: CutSilence) -> NewWave:
    parts = [wave[:, start:end] for start, end in _kept(wave, sample_rate_hz, effect)]
    return np.concatenate(parts, axis=1) if parts else wave[:, :0]


def _levels(wave: Wave, sample_rate_hz: int) -> Float64[np.ndarray, "samples channels"]:
    """Root mean square of the 20 ms up to each moment, at which the channels come one after the other.

    Zeros lie before the first one.
    """
    size = max(1, sample_rate_hz // LEVELS_PER_S) * len(wave)
    sums = np.concatenate([[0.0], np.cumsum(np.pad(np.square(wave).T.reshape(-1), (size, 0)))])
    means = np.maximum(sums[size + 1 :] - sums[1:-size], 0.0) / size
    return np.asarray(np.sqrt(means).reshape(-1, len(wave)))


def _kept(wave: Wave, sample_rate_hz: int, effect: CutSilence) -> Iterator[tuple[int, int]]:
    """Start and end of each piece that stays.

    A piece begins where a passage above the level begins, once that has lasted long enough, and ends where a
    passage that is not above it begins, once that has lasted long enough. What was heard before that end
    counts for no level after it.
    """
    n_samples, first = wave.shape[1], 0
    while first < n_samples:
        levels, start, position = _levels(wave[:, first:], sample_rate_hz), first, first
        if effect.sound:
            needed = max(1, effect.sound.n_samples(sample_rate_hz))
            begun = _first_run(np.all(levels > effect.sound.level, axis=1), needed)
            if begun is None:
                return
            start, position = first + begun, first + begun + needed
        if effect.silence is None:
            yield start, n_samples
            return
        needed = max(1, effect.silence.n_samples(sample_rate_hz))
        ended = _first_run(np.all(levels[position - first :] <= effect.silence.level, axis=1), needed)
        if ended is None:
            yield start, n_samples
            return
        yield start, position + ended
        if not effect.goes_on:
            return
        first = position + ended + needed


def _first_run(is_so: Bool[np.ndarray, "samples"], n_samples: int) -> int | None:
    """Where the first run of at least `n_samples` begins."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], is_so.astype(np.int8), [0]])))
    starts, ends = edges[::2], edges[1::2]
    long = np.flatnonzero(ends - starts >= n_samples)
    return int(starts[long[0]]) if len(long) else None

"""Recordings, made anew for each test."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import soundfile

RATE_HZ = 22050


def vowel(
    duration_s: float,
    *,
    f0_hz: float,
    seed: int,
    rate_hz: int = RATE_HZ,
    gain: Callable[[np.ndarray], np.ndarray] | None = None,
) -> np.ndarray:
    """Something like a vowel: decaying harmonics, vibrato, a little noise.

    Args:
        gain: Of the harmonics at times in seconds; the noise stays as it is.
    """
    draw = np.random.default_rng(seed)
    time_s = np.arange(int(duration_s * rate_hz)) / rate_hz
    phase = 2 * math.pi * f0_hz * (time_s + 0.002 * np.sin(12 * time_s))
    wave = sum(np.sin(n * phase + draw.uniform(0, 6)) / n for n in range(1, 20))
    wave = 0.2 * wave / np.abs(wave).max()
    return (wave if gain is None else gain(time_s) * wave) + 0.002 * draw.standard_normal(len(time_s))


def record(folder: Path, waves: Mapping[str, np.ndarray], rate_hz: int = RATE_HZ) -> Path:
    """Write each as NAME.wav; the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, wave in waves.items():
        soundfile.write(folder / f"{name}.wav", wave, rate_hz)
    return folder

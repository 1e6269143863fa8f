"""Recordings to prepare: short voiced sounds, made anew for each test."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from retimbre.data.utterance import Utterance


def voice(
    *, duration_s: float = 0.6, rate_hz: int = 22050, f0_hz: float = 130.0, seed: int = 0
) -> np.ndarray:
    """Something like a vowel: decaying harmonics, vibrato, a little noise."""
    draw = np.random.default_rng(seed)
    time = np.arange(int(duration_s * rate_hz)) / rate_hz
    phase = 2 * math.pi * f0_hz * (time + 0.002 * np.sin(12 * time))
    wave = sum(np.sin(n * phase + draw.uniform(0, 6)) / n for n in range(1, 20))
    return 0.2 * wave / np.abs(wave).max() + 0.002 * draw.standard_normal(len(time))


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    folder = tmp_path / "recordings"
    folder.mkdir()
    return folder


@pytest.fixture
def record(recordings: Path) -> Callable[..., Utterance]:
    """Write a recording and give its utterance: record("a", duration_s=1.0), record("b", wave, 16000)."""

    def write(
        basename: str,
        wave: np.ndarray | None = None,
        rate_hz: int = 22050,
        ending: str = "wav",
        **kind: float,
    ) -> Utterance:
        wave = voice(rate_hz=rate_hz, seed=len(basename), **kind) if wave is None else wave
        soundfile.write(recordings / f"{basename}.{ending}", wave, rate_hz)
        return Utterance(basename=basename, text=f"This is {basename}.")

    return write

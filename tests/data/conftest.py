"""Recordings to prepare: short voiced sounds, made anew for each test."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from building.sounds import vowel
from retimbre.data.utterance import Utterance


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
        duration_s: float = 0.6,
        f0_hz: float = 130.0,
    ) -> Utterance:
        if wave is None:
            wave = vowel(duration_s, f0_hz=f0_hz, rate_hz=rate_hz, seed=len(basename))
        soundfile.write(recordings / f"{basename}.{ending}", wave, rate_hz)
        return Utterance(basename=basename, text=f"This is {basename}.")

    return write

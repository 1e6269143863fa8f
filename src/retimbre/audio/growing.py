"""GrowingWav: a 16-bit WAV file that can be heard while it grows."""

import wave
from pathlib import Path
from typing import BinaryIO

from jaxtyping import Float
from torch import Tensor

from retimbre.audio.waveform import levels_of
from retimbre.errors import AudioError

BYTES_PER_SAMPLE = 2


class GrowingWav:
    """One channel; the file begins with the first samples, and is whole after each of them.

    Raises:
        AudioError: it cannot be written, or samples are not finite.
    """

    def __init__(self, path: Path, sample_rate_hz: int) -> None:
        self.path, self.sample_rate_hz = path, sample_rate_hz
        self._file: BinaryIO | None = None
        self._wave: wave.Wave_write | None = None

    def append(self, samples: Float[Tensor, "samples"]) -> None:
        """More sound; what lies beyond full scale is cut there."""
        levels = levels_of(samples, self.path)
        try:
            if self._wave is None or self._file is None:
                self._file, self._wave = self._begun()
            self._wave.writeframes(levels.numpy().astype("<i2").tobytes())  # the head is corrected each time
            self._file.flush()
        except OSError as error:
            raise AudioError(f"{self.path} cannot be written", found=error.strerror or str(error)) from error

    def close(self) -> None:
        """Nothing more comes."""
        if self._wave is not None and self._file is not None:
            self._wave.close()
            self._file.close()
            self._file = self._wave = None

    def _begun(self) -> tuple[BinaryIO, wave.Wave_write]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        file = self.path.open("wb")
        writer: wave.Wave_write = wave.open(file, "wb")  # noqa: SIM115 (as long as sound comes)
        writer.setnchannels(1)
        writer.setsampwidth(BYTES_PER_SAMPLE)
        writer.setframerate(self.sample_rate_hz)
        return file, writer

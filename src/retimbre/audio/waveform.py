"""Audio: samples and their sample rate, never apart."""

from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import soundfile
import torch
from jaxtyping import Float, Int16
from torch import Tensor

from retimbre.errors import AudioError


@dataclass(frozen=True, kw_only=True)
class Audio:
    """One channel of sound; full scale is -1..1."""

    samples: Float[Tensor, "samples"]
    sample_rate_hz: int

    def __post_init__(self) -> None:
        if self.sample_rate_hz <= 0:
            raise ValueError(f"sample_rate_hz ({self.sample_rate_hz}) is not above zero")

    @property
    def n_samples(self) -> int:
        """How many samples there are."""
        return self.samples.shape[-1]

    @property
    def duration_s(self) -> float:
        """How long it sounds, in seconds."""
        return self.n_samples / self.sample_rate_hz

    def save(self, path: str | PathLike[str]) -> None:
        """Write a 16-bit WAV file; what lies beyond full scale is cut there.

        Raises:
            AudioError: if there are no samples or some are not finite, or if the file cannot be written.
        """
        path = Path(path)
        levels = levels_of(self.samples, path)
        try:
            soundfile.write(path, levels.numpy(), self.sample_rate_hz, format="WAV", subtype="PCM_16")
        except (soundfile.SoundFileError, OSError) as error:
            raise AudioError(f"{path} cannot be written", found=str(error)) from error


def levels_of(samples: Float[Tensor, "samples"], path: Path) -> Int16[Tensor, "samples"]:
    """The samples as a 16-bit file holds them; what lies beyond full scale is cut there.

    Args:
        path: Of the file, for the error.

    Raises:
        AudioError: if there are no samples or some are not finite.
    """
    samples = samples.detach().to("cpu", torch.float64)
    if samples.numel() == 0:
        raise AudioError(f"{path} was not written", expected="samples", found="an empty waveform")
    if not samples.isfinite().all():
        raise AudioError(
            f"{path} was not written",
            expected="finite samples",
            found=f"{int((~samples.isfinite()).sum())} of {samples.numel()} that are NaN or infinite",
            do="check the model that made them; its weights may be damaged",
        )
    # Full scale is 2 ** 15, as readers divide by it: what was read from such a file is written unchanged.
    return (samples * 32768.0).round().clamp(-32768, 32767).to(torch.int16)

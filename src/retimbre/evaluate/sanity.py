"""Is there sound at all, and is it whole: levels of one Audio."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from retimbre.audio.waveform import Audio

FULL_SCALE = 32767 / 32768  # the largest value of a 16-bit file
CLIPPED_RUN = 3  # so many samples in a row at full scale are a flattened peak; one alone can be a peak
SILENT_RMS_DB = -60.0


@dataclass(frozen=True, kw_only=True)
class Levels:
    """Levels in dB relative to full scale; minus infinity is digital silence."""

    peak_db: float
    rms_db: float
    clipped_share: float  # of all samples, 0..1
    n_samples: int
    n_not_finite: int

    @property
    def is_playable(self) -> bool:
        """There are samples, and all are numbers."""
        return self.n_samples > 0 and not self.n_not_finite

    @property
    def is_silent(self) -> bool:
        """Nothing to hear at a usual volume."""
        return not self.rms_db > SILENT_RMS_DB

    @property
    def is_clipped(self) -> bool:
        """Peaks are cut flat."""
        return self.clipped_share > 0

    @property
    def is_sound(self) -> bool:
        """There, whole and made of numbers."""
        return self.is_playable and not self.is_silent and not self.is_clipped


def levels(audio: Audio) -> Levels:
    """Measure one recording; samples that are not numbers are counted and left out of the levels."""
    samples = audio.samples.detach().cpu().double().numpy()
    is_finite = np.isfinite(samples)
    magnitude = np.abs(np.where(is_finite, samples, 0.0))
    return Levels(
        peak_db=_decibel(float(magnitude.max(initial=0.0))),
        rms_db=_decibel(float(np.sqrt(np.mean(magnitude**2))) if len(samples) else 0.0),
        clipped_share=_clipped_share(magnitude),
        n_samples=len(samples),
        n_not_finite=int((~is_finite).sum()),
    )


def _decibel(magnitude: float) -> float:
    return float(20 * np.log10(magnitude)) if magnitude > 0 else -float("inf")


def _clipped_share(magnitude: Float64[np.ndarray, "samples"]) -> float:
    """Share of samples beyond full scale, or in a run of at least CLIPPED_RUN at full scale."""
    is_full = magnitude >= FULL_SCALE
    if not is_full.any():
        return 0.0
    is_clipped = magnitude > 1.0  # a file cannot hold them
    edges = np.flatnonzero(np.diff(np.concatenate(([0], is_full.astype(np.int8), [0]))))
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        is_clipped[start:end] |= end - start >= CLIPPED_RUN
    return float(is_clipped.mean())

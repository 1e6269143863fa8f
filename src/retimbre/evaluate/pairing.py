"""Two recordings of the same moment, sample by sample: what every measure against a reference needs."""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from jaxtyping import Float64

from retimbre.audio.waveform import Audio
from retimbre.errors import DataError

USUAL_HOP_MS = 12.0  # of the spectrograms of speech models, for measures that know no MelSpec
MOST_FRAMES_APART = 2  # teacher-forced output ends up to two frames early or late: rounding, not timing


Samples: TypeAlias = Float64[np.ndarray, "samples"]


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Reference and candidate, cut to the shorter of both."""

    reference: Samples
    candidate: Samples
    sample_rate_hz: int


def pair(reference: Audio, candidate: Audio, *, hop_samples: int | None = None) -> Pair:
    """Cut both to the same length; DataError where that is more than two frames away."""
    require_same_rate(reference, candidate)
    ours, theirs = samples_in(reference), samples_in(candidate)
    hop_samples = hop_samples or round(USUAL_HOP_MS / 1000 * reference.sample_rate_hz)
    apart = abs(len(ours) - len(theirs))
    if apart > MOST_FRAMES_APART * hop_samples:
        raise DataError(
            "reference and candidate are not the same length, so their frames cannot be compared",
            expected=f"{len(ours)} samples, or at most {MOST_FRAMES_APART * hop_samples} (two frames) apart",
            found=f"{len(theirs)} samples",
            do="compare teacher-forced output, or use the warped distortion for free-running speech",
        )
    n_samples = min(len(ours), len(theirs))
    return Pair(
        reference=ours[:n_samples], candidate=theirs[:n_samples], sample_rate_hz=reference.sample_rate_hz
    )


def require_same_rate(reference: Audio, candidate: Audio) -> None:
    """DataError where the two have different sample rates."""
    if reference.sample_rate_hz != candidate.sample_rate_hz:
        raise DataError(
            "reference and candidate have different sample rates",
            expected=f"{reference.sample_rate_hz} Hz",
            found=f"{candidate.sample_rate_hz} Hz",
            do="load both with the same sample_rate_hz",
        )


def samples_in(audio: Audio) -> Samples:
    """The waveform in float64; DataError where there is none, or where it holds no numbers."""
    samples = np.asarray(audio.samples.detach().cpu().double().numpy())
    if not len(samples):
        raise DataError("an empty recording cannot be compared", expected="at least one sample", found="none")
    if not np.isfinite(samples).all():
        raise DataError("a recording with samples that are not numbers cannot be compared")
    return samples

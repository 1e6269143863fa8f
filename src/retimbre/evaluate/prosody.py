"""Does the voice keep its melody, and does it sound where it should."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float64

from retimbre.audio.mel import MelSpec
from retimbre.audio.pitch import pitch_hz
from retimbre.audio.waveform import Audio
from retimbre.evaluate.pairing import Samples, pair


@dataclass(frozen=True, kw_only=True)
class ProsodyErrors:
    """How the pitch of a candidate differs from that of its reference."""

    f0_cents: float  # NaN where no frame is voiced in both
    voicing_percent: float


def prosody_errors(reference: Audio, candidate: Audio, mel: MelSpec) -> ProsodyErrors:
    """Both errors at the price of one pitch analysis per recording."""
    two = pair(reference, candidate, hop_samples=mel.hop_samples)
    our_f0_hz, is_ours_voiced = _pitch(two.reference, mel)
    their_f0_hz, is_theirs_voiced = _pitch(two.candidate, mel)
    is_both = is_ours_voiced & is_theirs_voiced
    return ProsodyErrors(
        f0_cents=_root_mean_square_cents(our_f0_hz[is_both], their_f0_hz[is_both]),
        voicing_percent=float(100 * (is_ours_voiced != is_theirs_voiced).mean()),
    )


def f0_error(reference: Audio, candidate: Audio, mel: MelSpec) -> float:
    """Root mean square pitch error in cents (100 cents are a semitone), over frames voiced in both.

    NaN where no frame is voiced in both.
    """
    return prosody_errors(reference, candidate, mel).f0_cents


def voicing_error(reference: Audio, candidate: Audio, mel: MelSpec) -> float:
    """Share of frames, in percent, that are voiced in one recording and not in the other."""
    return prosody_errors(reference, candidate, mel).voicing_percent


def _pitch(
    samples: Samples, mel: MelSpec
) -> tuple[Float64[np.ndarray, "frames"], Bool[np.ndarray, "frames"]]:
    audio = Audio(samples=torch.from_numpy(samples).float(), sample_rate_hz=mel.sample_rate_hz)
    pitch = pitch_hz(audio, mel)
    return pitch.f0_hz.double().numpy(), pitch.is_voiced.numpy()


def _root_mean_square_cents(
    ours_hz: Float64[np.ndarray, "voiced"], theirs_hz: Float64[np.ndarray, "voiced"]
) -> float:
    if not len(ours_hz):
        return float("nan")
    return float(np.sqrt(np.mean((1200 * np.log2(theirs_hz / ours_hz)) ** 2)))

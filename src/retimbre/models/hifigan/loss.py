"""What a vocoder and its discriminators minimise.

Axes used in this file:
    batch    segments
    samples  of a segment
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from retimbre.audio.mel import Centring, MelSpec, log_mel
from retimbre.models.hifigan.discriminators import Judgement

Scalar = Float[Tensor, ""]
Wave = Float[Tensor, "batch 1 samples"]

FEATURE_WEIGHT = 2.0  # as published


def discriminator_loss(real: Sequence[Judgement], fake: Sequence[Judgement]) -> Scalar:
    """How far from 1 the scores of recordings are and how far from 0 those of generated waveforms."""
    of_real = [(1 - judgement.score.float()).square().mean() for judgement in real]
    of_fake = [judgement.score.float().square().mean() for judgement in fake]
    return torch.stack(of_real + of_fake).sum()


def generator_adversarial_loss(fake: Sequence[Judgement]) -> Scalar:
    """How far from 1, which is "real", the scores of generated waveforms are."""
    return torch.stack([(1 - judgement.score.float()).square().mean() for judgement in fake]).sum()


def feature_loss(
    real: Sequence[Judgement], fake: Sequence[Judgement], *, weight: float = FEATURE_WEIGHT
) -> Scalar:
    """How differently they see both: `weight` times the sum of the mean differences in all layers."""
    pairs = [
        pair
        for of_real, of_fake in zip(real, fake, strict=True)
        for pair in zip(of_real.features, of_fake.features, strict=True)
    ]
    return weight * torch.stack([(a.detach().float() - b.float()).abs().mean() for a, b in pairs]).sum()


def mel_loss_from_segments(generated: Wave, recorded: Wave, mel: MelSpec) -> Scalar:
    """Mean difference of the log-mels of two segments of the same place; 0 for a perfect generator.

    Both spectrograms are made from the segments, so their edges are treated alike and every frame counts. A
    slice of a stored spectrogram would have seen the sound around the segment: compare only its
    `interior_frames`, and always frame k with frame k.
    """
    with torch.no_grad():
        target = log_mel(recorded, mel)
    return (log_mel(generated, mel) - target).abs().mean()


def interior_frames(n_samples: int, mel: MelSpec) -> slice:
    """The frames of a segment whose window lies wholly inside it: equal to those of the whole recording."""
    half_window = mel.window_samples // 2
    first_centre = mel.hop_samples // 2 if mel.centring is Centring.SHIFTED else 0
    start = max(0, -(-(half_window - first_centre) // mel.hop_samples))
    last = (n_samples - half_window - first_centre) // mel.hop_samples
    return slice(start, max(start, min(last + 1, mel.frames_in(n_samples))))

"""What a vocoder and its discriminators minimise.

Axes used in this file:
    batch    segments
    samples  of a segment
"""

import math
from collections.abc import Sequence
from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor

from retimbre.audio.mel import Centring, MelSpec, log_mel, mel_librosa
from retimbre.nn.judges import Judgement, Wave

Scalar = Float[Tensor, ""]

FEATURE_WEIGHT = 2.0  # as published
SCALES = {32: 5, 64: 10, 128: 20, 256: 40, 512: 80, 1024: 160, 2048: 320}  # window in samples -> bands


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


def multi_scale_mel_loss(generated: Wave, recorded: Wave, sample_rate_hz: int) -> Scalar:
    """Mean differences of decimal log-mels through seven windows, from 32 to 2,048 samples, added up.

    The long windows see each harmonic of a voice by itself, which 80 bands do not, and the short ones each
    pulse: without them a small generator learns to whisper. Windows and bands are those of the Descript Audio
    Codec (https://arxiv.org/abs/2306.06546); BigVGAN-v2 gives the sum a weight of 15.
    """
    found = []
    for mel in _scales(sample_rate_hz):
        with torch.no_grad():
            target = log_mel(recorded, mel)
        found.append((log_mel(generated, mel) - target).abs().mean())
    return torch.stack(found).sum() / math.log(10)


@lru_cache
def _scales(sample_rate_hz: int) -> tuple[MelSpec, ...]:
    return tuple(
        mel_librosa(
            sample_rate_hz=sample_rate_hz,
            n_fft_samples=window_samples,
            window_samples=window_samples,
            hop_samples=window_samples // 4,
            n_mels=n_mels,
            high_hz=sample_rate_hz / 2,
        )
        for window_samples, n_mels in SCALES.items()
    )


def interior_frames(n_samples: int, mel: MelSpec) -> slice:
    """The frames of a segment whose window lies wholly inside it: equal to those of the whole recording."""
    half_window = mel.window_samples // 2
    first_centre = mel.hop_samples // 2 if mel.centring is Centring.SHIFTED else 0
    start = max(0, -(-(half_window - first_centre) // mel.hop_samples))
    last = (n_samples - half_window - first_centre) // mel.hop_samples
    return slice(start, max(start, min(last + 1, mel.frames_in(n_samples))))

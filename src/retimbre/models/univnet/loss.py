"""What UnivNet and its discriminators minimise (https://arxiv.org/abs/2106.07889).

    generator       stft * L_stft + adversarial * mean over K discriminators of E[(D(fake) - 1)^2]
    discriminators  mean over K of E[(D(real) - 1)^2] + E[D(fake)^2]

L_stft is the mean over three resolutions of spectral convergence and the distance of log magnitudes
(https://arxiv.org/abs/1910.11480); its weight is 2.5. There is no feature matching.

Segments of one length are judged together. Where a batch holds shorter ones, `by_length` cuts their padding
off, so that nothing but real samples counts; the shares of the lengths make up the loss of the whole batch.

Axes used in this file:
    batch    segments
    samples  of a segment
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.linalg import vector_norm

from retimbre.models.hifigan.loss import discriminator_loss, generator_adversarial_loss
from retimbre.models.univnet.magnitudes import RESOLUTIONS, Resolution, magnitudes
from retimbre.nn.judges import Judgement, Judges, Wave

Scalar = Float[Tensor, ""]


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Recordings and what was generated for them, without padding.

    Args:
        share: Of these segments in the batch.
    """

    real: Wave
    fake: Wave
    share: float = 1.0


def by_length(real: Wave, fake: Wave, n_samples: Int[Tensor, "batch"]) -> list[Pair]:
    """The segments of a padded batch, those of one length together, the shortest first."""
    lengths = n_samples.tolist()
    pairs = []
    for length in sorted(set(lengths)):
        rows = torch.tensor([row for row, n in enumerate(lengths) if n == length], device=real.device)
        is_all = len(rows) == len(lengths)
        ours, theirs = (wave if is_all else wave[rows] for wave in (real, fake))
        pairs.append(Pair(real=ours[..., :length], fake=theirs[..., :length], share=len(rows) / len(lengths)))
    return pairs


def stft_loss(pairs: Sequence[Pair]) -> Scalar:
    """Mean over the resolutions of spectral convergence and of the distance of log magnitudes.

    Both are taken over all cells of the batch at once, as every trainer does. (The papers write a mean over
    segments. For convergence that is another number, and one without end where a segment is silent.)
    """
    return torch.stack([_of_resolution(pairs, resolution) for resolution in RESOLUTIONS]).mean()


def _of_resolution(pairs: Sequence[Pair], resolution: Resolution) -> Scalar:
    away, whole, in_logs, n_cells = [], [], [], 0
    for pair in pairs:
        with torch.no_grad():
            real = magnitudes(pair.real, resolution)
        fake = magnitudes(pair.fake, resolution)
        away.append(vector_norm(real - fake))
        whole.append(vector_norm(real))
        in_logs.append((real.log() - fake.log()).abs().sum())
        n_cells += real.numel()
    convergence = vector_norm(torch.stack(away)) / vector_norm(torch.stack(whole))
    return convergence + torch.stack(in_logs).sum() / n_cells


def judges_loss(pairs: Iterable[Pair], judges: Judges) -> Scalar:
    """How far from 1 the scores of recordings are and how far from 0 those of generated waveforms."""

    def loss(pair: Pair) -> Scalar:
        of_real, of_fake = judges.compare(pair.real, pair.fake.detach())
        return discriminator_loss(of_real, of_fake) / len(of_real)

    return _shared(pairs, loss)


def adversarial_loss(pairs: Iterable[Pair], judges: Judges) -> Scalar:
    """How far from 1, which is "real", the scores of generated waveforms are."""

    def loss(pair: Pair) -> Scalar:
        of_fake: list[Judgement] = judges.answer(pair.fake)
        return generator_adversarial_loss(of_fake) / len(of_fake)

    return _shared(pairs, loss)


def _shared(pairs: Iterable[Pair], loss: Callable[[Pair], Scalar]) -> Scalar:
    return torch.stack([pair.share * loss(pair) for pair in pairs]).sum()

"""What discriminators of waveforms share: a judgement, one that looks at periods, and how they are asked.

Axes used in this file:
    batch    waveforms
    samples  of the waveform
    dim      channels
    rows     every period-th sample, one after another
    period   columns: neighbouring samples side by side
    scores   opinions about one waveform, one per stretch of it
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from retimbre.nn.weight_norm import weight_norm

SLOPE = 0.1  # HiFi-GAN's
PERIOD_STRIDES = (3, 3, 3, 3, 1)

Wave = Float[Tensor, "batch 1 samples"]


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What one discriminator thinks of a batch: 1 is real, 0 is generated; and what it looked at."""

    score: Float[Tensor, "batch scores"]
    features: tuple[Float[Tensor, "batch ..."], ...]

    def split(self) -> "tuple[Judgement, Judgement]":
        """The judgements of the first and of the second half of the batch."""
        halves = [feature.chunk(2) for feature in self.features]
        first, second = self.score.chunk(2)
        return (
            Judgement(score=first, features=tuple(half[0] for half in halves)),
            Judgement(score=second, features=tuple(half[1] for half in halves)),
        )


def judge(
    convs: nn.ModuleList,
    conv_post: Callable[[Tensor], Tensor],
    x: Float[Tensor, "batch 1 ..."],
    *,
    slope: float = SLOPE,
) -> Judgement:
    """What layers make of a waveform in some form; each but the last is followed by a leaky ReLU."""
    features = []
    for conv in convs:
        x = functional.leaky_relu(conv(x), slope)
        features.append(x)
    score = conv_post(x)
    return Judgement(score=score.flatten(1), features=(*features, score))


class PeriodDiscriminator(nn.Module):
    """Judges a waveform folded so that samples one period apart stand below one another."""

    def __init__(self, period: int, channels: tuple[int, ...], *, slope: float = SLOPE) -> None:
        super().__init__()
        self.period, self.slope = period, slope
        layers = zip((1, *channels[:-1]), channels, PERIOD_STRIDES, strict=True)
        self.convs = nn.ModuleList(
            weight_norm(nn.Conv2d(n_in, n_out, (5, 1), (stride, 1), padding=(2, 0)))
            for n_in, n_out, stride in layers
        )
        self.conv_post = weight_norm(nn.Conv2d(channels[-1], 1, (3, 1), padding=(1, 0)))

    def forward(self, wave: Wave) -> Judgement:
        missing = -wave.shape[-1] % self.period
        if missing:
            wave = functional.pad(wave, (0, missing), mode="reflect")
        folded: Float[Tensor, "batch 1 rows period"] = wave.view(len(wave), 1, -1, self.period)
        return judge(self.convs, self.conv_post, folded, slope=self.slope)


class Judges(nn.Module):
    """All discriminators of a vocoder, which give one judgement each; needed for training only."""

    def compare(self, real: Wave, fake: Wave) -> tuple[list[Judgement], list[Judgement]]:
        """Judgements of recordings and of generated waveforms, in one pass."""
        halves = [judgement.split() for judgement in self(torch.cat([real, fake]))]
        return [first for first, _ in halves], [second for _, second in halves]

    def teach(self, real: Wave, fake: Wave) -> tuple[list[Judgement], list[Judgement]]:
        """The same for the turn of the generator: only `fake` gets a gradient, which halves the time."""
        with torch.no_grad():
            of_real = self(real)
        return of_real, self.answer(fake)

    def answer(self, fake: Wave) -> list[Judgement]:
        """Judgements of generated waveforms, through which a gradient reaches these and no weight here."""
        learning = [parameter for parameter in self.parameters() if parameter.requires_grad]
        for parameter in learning:
            parameter.requires_grad_(False)
        of_fake: list[Judgement] = self(fake)
        for parameter in learning:  # what is computed has already been recorded without them
            parameter.requires_grad_(True)
        return of_fake

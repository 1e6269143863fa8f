"""Every size of a HiFi-GAN generator and of its discriminators."""

import math
from dataclasses import InitVar, dataclass
from typing import Literal

PERIOD_CHANNELS = (32, 128, 512, 1024, 1024)
SCALE_CHANNELS = (128, 128, 256, 512, 1024, 1024, 1024)
SCALE_GROUPS = (1, 4, 16, 16, 16, 16, 1)


@dataclass(frozen=True, kw_only=True)
class GeneratorConfig:
    """What a generator is. The defaults are HiFi-GAN's V1.

    Args:
        n_mels: Bands of the spectrogram that it reads.
        resblock: "1": pairs of a dilated and a plain convolution; "2": dilated convolutions only.
        upsample_rates: How much longer each stage makes its input.
        upsample_kernels: Kernel of each stage's transposed convolution.
        initial_channels: Channels before the first stage; every stage halves them.
        resblock_kernels: Each stage has one residual block per kernel.
        resblock_dilations: The dilations inside each of these blocks.
        istft_n_fft_samples: Length of the inverse STFT that makes the waveform; None: a convolution does.
    """

    n_mels: int = 80
    resblock: Literal["1", "2"] = "1"
    upsample_rates: tuple[int, ...] = (8, 8, 2, 2)
    upsample_kernels: tuple[int, ...] = (16, 16, 4, 4)
    initial_channels: int = 512
    resblock_kernels: tuple[int, ...] = (3, 7, 11)
    resblock_dilations: tuple[tuple[int, ...], ...] = ((1, 3, 5), (1, 3, 5), (1, 3, 5))
    istft_n_fft_samples: int | None = None

    def __post_init__(self) -> None:
        _require_rates(self.upsample_rates, self.upsample_kernels)
        if len(self.resblock_kernels) != len(self.resblock_dilations):
            raise ValueError(
                f"{len(self.resblock_kernels)} resblock_kernels "
                f"for {len(self.resblock_dilations)} resblock_dilations"
            )
        if even := [kernel for kernel in self.resblock_kernels if kernel % 2 == 0]:
            raise ValueError(f"resblock_kernels must be odd, or the output moves: {even}")
        if self.initial_channels % 2 ** len(self.upsample_rates):
            raise ValueError(
                f"initial_channels ({self.initial_channels}) "
                f"cannot be halved {len(self.upsample_rates)} times"
            )
        n_fft = self.istft_n_fft_samples
        if n_fft is not None and (n_fft < 4 or n_fft % 2):
            raise ValueError(f"istft_n_fft_samples must be even and at least 4, not {n_fft}")

    @property
    def is_istft(self) -> bool:
        """Does an inverse STFT make the waveform?"""
        return self.istft_n_fft_samples is not None

    @property
    def istft_hop_samples(self) -> int:
        """Samples per column of the inverse transform: a quarter of its length, as EveryVoice has it."""
        return self.istft_n_fft_samples // 4 if self.istft_n_fft_samples else 1

    @property
    def hop_samples(self) -> int:
        """Samples that come out per frame: must be the hop of the spectrogram."""
        return math.prod(self.upsample_rates) * self.istft_hop_samples


def _require_rates(rates: tuple[int, ...], kernels: tuple[int, ...]) -> None:
    if not rates or len(rates) != len(kernels):
        raise ValueError(f"{len(rates)} upsample_rates for {len(kernels)} upsample_kernels")
    for rate, kernel in zip(rates, kernels, strict=True):
        if kernel < rate or (kernel - rate) % 2:
            raise ValueError(
                f"an upsampling kernel must be its rate plus an even number, not {kernel} for {rate}: "
                f"a frame would not become {rate} columns"
            )


@dataclass(frozen=True, kw_only=True)
class DiscriminatorConfig:
    """What the discriminators are. The defaults are HiFi-GAN's; a small vocoder takes narrower, fewer ones.

    Args:
        width: Share of the published channels; only used to fill in channels and groups that are not given.
        periods: One discriminator each, which sees every so-manieth sample side by side.
        n_scales: Discriminators of the waveform itself and of its halved versions.
        period_channels: Channels after each layer of a period's discriminator.
        scale_channels: Channels after each layer of a scale's discriminator.
        scale_groups: Groups of these layers.
    """

    width: InitVar[float] = 1.0
    periods: tuple[int, ...] = (2, 3, 5, 7, 11)
    n_scales: int = 3
    period_channels: tuple[int, ...] = ()
    scale_channels: tuple[int, ...] = ()
    scale_groups: tuple[int, ...] = ()

    def __post_init__(self, width: float) -> None:
        fill = object.__setattr__  # the usual way in a frozen dataclass
        fill(self, "period_channels", self.period_channels or _narrowed(PERIOD_CHANNELS, width))
        fill(self, "scale_channels", self.scale_channels or _narrowed(SCALE_CHANNELS, width))
        fill(self, "scale_groups", self.scale_groups or _valid_groups(self.scale_channels))
        needed = len(PERIOD_CHANNELS), len(SCALE_CHANNELS)
        if (len(self.period_channels), len(self.scale_channels)) != needed:
            raise ValueError(f"{needed[0]} period_channels and {needed[1]} scale_channels are needed")
        if len(set(self.periods)) != len(self.periods) or min(self.periods, default=2) < 2:
            raise ValueError(f"periods must be different numbers above 1: {self.periods}")
        inputs = (1, *self.scale_channels[:-1])
        for n_in, n_out, groups in zip(inputs, self.scale_channels, self.scale_groups, strict=True):
            if n_in % groups or n_out % groups:
                raise ValueError(f"{groups} groups do not divide {n_in} into {n_out} channels")


def _narrowed(channels: tuple[int, ...], width: float) -> tuple[int, ...]:
    if not 0 < width <= 1:
        raise ValueError(f"width is a share between 0 and 1, not {width}")
    return tuple(max(1, round(n * width)) for n in channels)


def _valid_groups(channels: tuple[int, ...]) -> tuple[int, ...]:
    inputs = (1, *channels[:-1])
    published = zip(SCALE_GROUPS, inputs, channels, strict=True)
    return tuple(math.gcd(groups, n_in, n_out) for groups, n_in, n_out in published)

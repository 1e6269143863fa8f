"""Every size of a UnivNet and of its discriminators."""

import math
from dataclasses import InitVar, dataclass

LARGEST = 1 << 16  # of any one size
PERIODS = (2, 3, 5, 7, 11)
PERIOD_CHANNELS = (64, 128, 256, 512, 1024)
SPECTRUM_CHANNELS = 32


@dataclass(frozen=True, kw_only=True)
class UnivNetConfig:
    """What the network is. The defaults are the released vocoder's of TorToiSe.

    Args:
        n_mels: Bands of the spectrogram that it reads.
        noise_dim: Channels of the noise that becomes the waveform.
        dim: Channels inside.
        strides: How much longer each stage makes its input; its upsampling kernel is twice that.
        dilations: Each stage has one location-variable layer per dilation.
        predictor_kernel: Of the convolutions that read kernels off the spectrogram.
        slope: Of every leaky ReLU.
    """

    n_mels: int = 100
    noise_dim: int = 64
    dim: int = 32
    strides: tuple[int, ...] = (8, 8, 4)
    dilations: tuple[int, ...] = (1, 3, 9, 27)
    predictor_kernel: int = 3
    slope: float = 0.2

    def __post_init__(self) -> None:
        sizes = (self.n_mels, self.noise_dim, self.dim, self.predictor_kernel, *self.strides, *self.dilations)
        if not self.strides or not self.dilations:
            raise ValueError("a UnivNet needs at least one stage and one dilation")
        if not all(1 <= size <= LARGEST for size in sizes):
            raise ValueError(f"every size must be from 1 to {LARGEST:,}: {sizes}")
        if self.predictor_kernel % 2 == 0:
            raise ValueError(
                f"predictor_kernel must be odd, or kernels and frames differ in number: "
                f"{self.predictor_kernel}"
            )
        if not 0 <= self.slope < 1:
            raise ValueError(f"slope must be from 0 to below 1, not {self.slope}")

    @property
    def hop_samples(self) -> int:
        """Samples that come out per frame: must be the hop of the spectrogram."""
        return math.prod(self.strides)


@dataclass(frozen=True, kw_only=True)
class JudgesConfig:
    """What the discriminators are: three of magnitudes, and one for each period of the waveform.

    The defaults are those of the trainer of the released vocoder (https://github.com/maum-ai/univnet), whose
    measured quality is the paper's. Others take HiFi-GAN's channels for the periods (32, 128, 512, 1024 and
    1024).

    Args:
        width: Share of the published channels; only used to fill in channels that are not given.
        periods: One discriminator each, which sees every so-manieth sample side by side.
        period_channels: Channels after each layer of a period's discriminator.
        spectrum_channels: Channels inside of a discriminator of magnitudes.
    """

    width: InitVar[float] = 1.0
    periods: tuple[int, ...] = PERIODS
    period_channels: tuple[int, ...] = ()
    spectrum_channels: int = 0

    def __post_init__(self, width: float) -> None:
        if not 0 < width <= 1:
            raise ValueError(f"width is a share between 0 and 1, not {width}")
        fill = object.__setattr__  # the usual way in a frozen dataclass
        narrowed = tuple(max(1, round(n * width)) for n in PERIOD_CHANNELS)
        fill(self, "period_channels", self.period_channels or narrowed)
        fill(self, "spectrum_channels", self.spectrum_channels or max(1, round(SPECTRUM_CHANNELS * width)))
        if len(self.period_channels) != len(PERIOD_CHANNELS):
            raise ValueError(f"{len(PERIOD_CHANNELS)} period_channels are needed")
        if not self.periods or len(set(self.periods)) != len(self.periods) or min(self.periods) < 2:
            raise ValueError(f"periods must be different numbers above 1: {self.periods}")
        sizes = (*self.periods, *self.period_channels, self.spectrum_channels)
        if not all(1 <= size <= LARGEST for size in sizes):
            raise ValueError(f"every size must be from 1 to {LARGEST:,}: {sizes}")

"""Every size of a UnivNet."""

import math
from dataclasses import dataclass

LARGEST = 1 << 16  # of any one size


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

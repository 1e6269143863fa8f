"""Every size of TorToiSe's HiFi-GAN decoder."""

import math
from dataclasses import dataclass
from typing import Literal

from retimbre.models.hifigan.config import GeneratorConfig

LARGEST = 1 << 16  # of any one size
CODE_SAMPLES, CODE_RATE_HZ = 1024, 22050  # one code, and so one latent, lasts 1024 samples at 22,050 Hz
SAMPLE_RATE_HZ = 24000  # of the waveform


@dataclass(frozen=True, kw_only=True)
class LatentDecoderConfig:
    """What the network is. The defaults are the released one's.

    Args:
        latent_dim: Width of the latents that it reads.
        conditioning_dim: Width of the voice, one vector for a whole utterance.
        resblock: As in a hifigan, like everything below.
        upsample_rates: How much longer each stage makes its input.
        upsample_kernels: Kernel of each stage's transposed convolution.
        initial_channels: Channels before the first stage; every stage halves them.
        resblock_kernels: Each stage has one residual block per kernel.
        resblock_dilations: The dilations inside each of these blocks.
    """

    latent_dim: int = 1024
    conditioning_dim: int = 1024
    resblock: Literal["1", "2"] = "1"
    upsample_rates: tuple[int, ...] = (8, 8, 2, 2)
    upsample_kernels: tuple[int, ...] = (16, 16, 4, 4)
    initial_channels: int = 512
    resblock_kernels: tuple[int, ...] = (3, 7, 11)
    resblock_dilations: tuple[tuple[int, ...], ...] = ((1, 3, 5), (1, 3, 5), (1, 3, 5))

    def __post_init__(self) -> None:
        widths = (self.latent_dim, self.conditioning_dim, self.initial_channels)
        sizes = (*widths, *self.upsample_rates, *self.upsample_kernels, *self.resblock_kernels)
        if not all(1 <= size <= LARGEST for size in sizes):
            raise ValueError(f"every size must be from 1 to {LARGEST:,}: {sizes}")
        if not self.resblock_kernels:
            raise ValueError("each stage needs a residual block")
        _ = self.stages  # refuses what contradicts itself

    @property
    def stages(self) -> GeneratorConfig:
        """The part that it shares with a hifigan: all but what it reads."""
        return GeneratorConfig(
            n_mels=self.latent_dim,
            resblock=self.resblock,
            upsample_rates=self.upsample_rates,
            upsample_kernels=self.upsample_kernels,
            initial_channels=self.initial_channels,
            resblock_kernels=self.resblock_kernels,
            resblock_dilations=self.resblock_dilations,
        )

    @property
    def hop_samples(self) -> int:
        """Samples that come out per column; a latent is stretched to some four and a third of them."""
        return math.prod(self.upsample_rates)

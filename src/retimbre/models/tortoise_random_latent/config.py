"""Every size of a generator of random latents."""

import math
from dataclasses import dataclass

N_SCALED = 5  # layers before the last one: the same in every file


@dataclass(frozen=True, kw_only=True)
class RandomLatentConfig:
    """What the generator is. The defaults are those of `rlg_auto.pth`.

    Args:
        dim: Numbers of a latent: 1,024 for the autoregressive model, 2,048 for the diffusion model.
        rate_scale: What weights and biases are multiplied by; it slowed down how fast they learnt.
    """

    dim: int = 1024
    rate_scale: float = 0.1

    def __post_init__(self) -> None:
        if self.dim < 1:
            raise ValueError(f"dim must be at least 1, not {self.dim}")
        if not (math.isfinite(self.rate_scale) and self.rate_scale > 0):
            raise ValueError(f"rate_scale must be a number above 0, not {self.rate_scale}")

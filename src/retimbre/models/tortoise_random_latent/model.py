"""Noise -> the latent of a voice that nobody has, with TorToiSe's tensor names.

It is the mapping network of StyleGAN 2 (https://arxiv.org/abs/1912.04958) with a plain last layer.

Axes used in this file:
    batch   voices
    dim     numbers of a latent
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from retimbre.models.tortoise_random_latent.config import N_SCALED, RandomLatentConfig

SLOPE = 0.2
Latent = Float[Tensor, "batch dim"]


class ScaledLinear(nn.Module):
    """A linear layer whose weights are stored larger than they are, then a leaky ReLU."""

    def __init__(self, config: RandomLatentConfig) -> None:
        super().__init__()
        self.bias_scale = config.rate_scale
        self.weight_scale = config.rate_scale / math.sqrt(config.dim)
        self.weight = nn.Parameter(torch.randn(config.dim, config.dim) / config.rate_scale)
        self.bias = nn.Parameter(torch.zeros(config.dim))

    def forward(self, x: Latent) -> Latent:
        x = functional.linear(x, self.weight * self.weight_scale, self.bias * self.bias_scale)
        # The root of two keeps the size of the numbers: a leaky ReLU takes away about half of their energy.
        return functional.leaky_relu(x, SLOPE) * math.sqrt(2)


class RandomLatent(nn.Module):
    """The generator. Standard normal noise gives the latent of a voice, the same noise the same voice."""

    def __init__(self, config: RandomLatentConfig) -> None:
        super().__init__()
        self.config = config
        self.layers = nn.Sequential(
            *(ScaledLinear(config) for _ in range(N_SCALED)), nn.Linear(config.dim, config.dim)
        )

    def forward(self, noise: Latent) -> Latent:
        return self.layers(noise)

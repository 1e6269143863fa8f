"""Symbols enter a network as rows of a table, or as their phonological features.

Axes used in this file:
    batch     utterances
    symbols   symbols of the longest utterance, padded
    features  numbers that describe a symbol
    dim       channels of the encoder
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional


class FeatureInput(nn.Linear):
    """A mixture of the features of each symbol; symbols are numbers here as in a network with a table.

    EveryVoice makes the features anew for every text. Here they are looked up, and travel with our weights.
    """

    features: Float[Tensor, "n_symbols n_features"]

    def __init__(self, n_symbols: int, n_features: int, dim: int) -> None:
        super().__init__(n_features, dim, bias=False)
        self.register_buffer("features", torch.zeros(n_symbols, n_features))

    def forward(self, symbols: Int[Tensor, "batch symbols"]) -> Float[Tensor, "batch symbols dim"]:
        return functional.linear(functional.embedding(symbols, self.features), self.weight)

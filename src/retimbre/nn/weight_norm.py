"""Weight norm (https://arxiv.org/abs/1602.07868): a weight as its length and its direction.

For files see `retimbre.checkpoint.weight_norm`.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils import parametrize


class LengthAndDirection(nn.Module):
    """The weight that the two stand for; lengths are over all axes but the first."""

    def forward(
        self, length: Float[Tensor, "out *ones"], direction: Float[Tensor, "out *rest"]
    ) -> Float[Tensor, "out *rest"]:
        return torch._weight_norm(direction, length, 0)

    def right_inverse(
        self, weight: Float[Tensor, "out *rest"]
    ) -> tuple[Float[Tensor, "out *ones"], Float[Tensor, "out *rest"]]:
        """The length and the direction of a weight."""
        if weight.is_meta:  # there torch would load its compiler for a norm, which takes seconds
            return weight.new_empty((len(weight), *(1 for _ in weight.shape[1:]))), weight
        return torch.norm_except_dim(weight, 2, 0), weight


def weight_norm(layer: nn.Module) -> Any:  # noqa: ANN401 (the layer; its own type would hide its tensors)
    """`layer` itself, whose tensors are from now on those that torch's own weight norm would give it.

    They are `parametrizations.weight.original0`, the length, and `parametrizations.weight.original1`.
    """
    parametrize.register_parametrization(layer, "weight", LengthAndDirection(), unsafe=True)
    return layer


def fold_weight_norm(network: nn.Module) -> None:
    """Fold the weight norms into plain weights: the same output, no longer for training."""
    for module in list(network.modules()):
        if parametrize.is_parametrized(module, "weight"):
            parametrize.remove_parametrizations(module, "weight")

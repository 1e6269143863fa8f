"""Low-rank adaptation: beside a large matrix stand two small ones, and only these learn
(https://arxiv.org/abs/2106.09685).

A layer y = W x + b becomes y = W x + b + (alpha / rank) B A x. B is zero at the beginning, so that the
network gives what it gave. The layers themselves stay as they are, under their names: an adapter reads what
its layer reads and is added to what its layer gives (a forward hook), also where a layer is computed a second
time for the backward pass. Afterwards the product can be added to W, and the small matrices are not needed.

Axes used in this file:
    lead             any axes
    dim_in, dim_out  channels of a layer, before and after
    rank             channels between the two small matrices
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from retimbre.nn.conv import ConvOverTime

Down = Float[Tensor, "rank dim_in"]
Up = Float[Tensor, "dim_out rank"]


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """How a layer keeps and uses its weight.

    Args:
        is_in_by_out: Its rows are inputs, the other way round than in `nn.Linear`.
        is_channels_first: It reads [batch dim frames].
    """

    dim_in: int
    dim_out: int
    is_in_by_out: bool = False
    is_channels_first: bool = False


def matrix_of(layer: nn.Module, in_by_out: tuple[type[nn.Module], ...] = ()) -> Matrix | None:
    """What an adapter has to know of a layer; None where the layer is no matrix that can have one.

    Args:
        in_by_out: Further kinds of layers, whose `weight` is stored in × out.
    """
    if isinstance(layer, nn.Linear):
        return Matrix(dim_in=layer.in_features, dim_out=layer.out_features)
    if isinstance(layer, in_by_out):
        dim_in, dim_out = layer.get_parameter("weight").shape
        return Matrix(dim_in=dim_in, dim_out=dim_out, is_in_by_out=True)
    if isinstance(layer, nn.Conv1d) and layer.kernel_size == (1,) and layer.stride == (1,):
        if layer.groups > 1 or layer.padding not in ((0,), "same", "valid"):
            return None
        is_first = not isinstance(layer, ConvOverTime)
        return Matrix(dim_in=layer.in_channels, dim_out=layer.out_channels, is_channels_first=is_first)
    return None


def matrices_in(network: nn.Module, in_by_out: tuple[type[nn.Module], ...] = ()) -> dict[str, Matrix]:
    """Name -> layer, of all that can have an adapter, in the order of the network."""
    found = {name: matrix_of(layer, in_by_out) for name, layer in network.named_modules()}
    return {name: matrix for name, matrix in found.items() if matrix is not None}


class LowRank(nn.Module):
    """The two small matrices of one layer, in float32 whatever the layer's own are.

    Args:
        alpha: What they give is multiplied by alpha / rank.
        dropout: Of what they read, while the layer itself is in training mode.
    """

    def __init__(self, matrix: Matrix, *, rank: int, alpha: float, dropout: float = 0.0) -> None:
        super().__init__()
        self.matrix, self.scale, self.dropout = matrix, alpha / rank, dropout
        self.is_on = True
        self.lora_A = nn.Linear(matrix.dim_in, rank, bias=False)
        self.lora_B = nn.Linear(rank, matrix.dim_out, bias=False)
        nn.init.zeros_(self.lora_B.weight)

    def forward(
        self, x: Float[Tensor, "*lead dim_in"], is_training: bool = False
    ) -> Float[Tensor, "*lead dim_out"]:
        """What is added; computed in the type of `x`, so that no wider copy of it is kept."""
        x = functional.dropout(x, self.dropout, training=is_training)
        narrow = functional.linear(x, self.lora_A.weight.to(x.dtype))
        return functional.linear(narrow, self.lora_B.weight.to(narrow.dtype)) * self.scale

    def beside(self, layer: nn.Module, given: tuple[Tensor, ...], result: Tensor) -> Tensor:
        """The forward hook of its layer."""
        if not self.is_on:
            return result
        (x,) = given
        if self.matrix.is_channels_first:
            added = self(x.transpose(1, 2), layer.training).transpose(1, 2)
        else:
            added = self(x, layer.training)
        return result + added.to(result.dtype)


class Adapters(nn.Module):
    """The small matrices of a network; the network itself is no part of it, but goes along to a device.

    Args:
        network: Stops learning here; its weights may be of another type, such as bfloat16.
        names: Of the layers that get an adapter.
        in_by_out: As for `matrix_of`.
    """

    def __init__(
        self,
        network: nn.Module,
        names: Sequence[str],
        *,
        rank: int,
        alpha: float,
        dropout: float = 0.0,
        in_by_out: tuple[type[nn.Module], ...] = (),
    ) -> None:
        super().__init__()
        self.rank, self.alpha = rank, alpha
        self._network = (network,)  # in a tuple, it is no submodule
        self._hooks = []
        matrices = matrices_in(network, in_by_out)
        pairs = {name: LowRank(matrices[name], rank=rank, alpha=alpha, dropout=dropout) for name in names}
        self.pairs = nn.ModuleDict({name.replace(".", "/"): pair for name, pair in pairs.items()})
        network.requires_grad_(False)
        for name, pair in pairs.items():
            self._hooks.append(network.get_submodule(name).register_forward_hook(pair.beside))

    def by_layer(self) -> dict[str, LowRank]:
        """Name of a layer -> its adapter."""
        pairs = {name.replace("/", "."): pair for name, pair in self.pairs.items()}
        return {name: pair for name, pair in pairs.items() if isinstance(pair, LowRank)}

    def to(self, *args: Any, **kwargs: Any) -> "Adapters":  # noqa: ANN401 (as in torch)
        """As of any module; the network goes along to the device, in its own type of numbers."""
        super().to(*args, **kwargs)
        self._network[0].to(next(self.parameters()).device)
        return self

    @contextmanager
    def away(self) -> Iterator[None]:
        """Inside, the network is its base alone."""
        self._switch(is_on=False)
        try:
            yield
        finally:
            self._switch(is_on=True)

    def remove(self) -> None:
        """The network is its base alone, from here on."""
        for hook in self._hooks:
            hook.remove()

    def _switch(self, *, is_on: bool) -> None:
        for pair in self.by_layer().values():
            pair.is_on = is_on


@torch.no_grad()
def folded(weight: Tensor, down: Down, up: Up, *, factor: float, matrix: Matrix) -> Tensor:
    """A layer's weight with the product of its small matrices added, in the weight's own type and order.

    Args:
        factor: What the product is multiplied by: alpha / rank, and how strong the adapter should be.
    """
    left, right = (down.T, up.T) if matrix.is_in_by_out else (up, down)
    plain = weight.reshape(left.shape[0], right.shape[1])  # that of a convolution has a third axis
    found = torch.addmm(plain.float(), left.float(), right.float(), alpha=factor)
    return found.to(weight.dtype).view(weight.shape)


def folded_in(
    tensors: Mapping[str, Tensor],
    pairs: Mapping[str, tuple[Tensor, Tensor]],
    *,
    factor: float,
    matrices: Mapping[str, Matrix],
) -> dict[str, Tensor]:
    """All weights of a network, those of its adapted layers as `folded`.

    Args:
        pairs: Name of a layer -> its two small matrices, A and B.
        matrices: Name of a layer -> how it keeps its weight, from `matrices_in`.
    """
    changed = {
        f"{name}.weight": folded(tensors[f"{name}.weight"], down, up, factor=factor, matrix=matrices[name])
        for name, (down, up) in pairs.items()
    }
    return {**tensors, **changed}

"""A network for speaking on a CPU: the same one, with its large weights packed.

Axes used in this file:
    batch    utterances
    times    frames or symbols
    lead     any axes
    dim_in, dim_out  channels before and after
"""

import copy
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from retimbre.nn.conv import ConvOverTime
from retimbre.nn.packed import Packed, Precision

Network = TypeVar("Network", bound=nn.Module)


class PackedLinear(nn.Module):
    """In place of `nn.Linear`. What it gives has the type it computes in, as under autocast."""

    def __init__(self, layer: nn.Linear, *, precision: Precision, rows: int) -> None:
        super().__init__()
        self.product = Packed(layer.weight, layer.bias, precision=precision, rows=rows)
        self.kind = torch.float32 if precision == "float32" else torch.bfloat16

    def forward(self, x: Float[Tensor, "*lead dim_in"]) -> Float[Tensor, "*lead dim_out"]:
        return self.product(x.to(self.kind))


class PackedConv(nn.Module):
    """In place of `ConvOverTime`: the product with each frame and its neighbours, laid side by side."""

    def __init__(self, layer: ConvOverTime, *, precision: Precision, rows: int) -> None:
        super().__init__()
        (self.kernel,) = layer.kernel_size
        side_by_side = layer.weight.transpose(1, 2).flatten(1)
        self.product = Packed(side_by_side, layer.bias, precision=precision, rows=rows)
        self.kind = torch.float32 if precision == "float32" else torch.bfloat16

    def forward(self, x: Float[Tensor, "batch times dim_in"]) -> Float[Tensor, "batch times dim_out"]:
        x = x.to(self.kind)
        if self.kernel == 1:
            return self.product(x)
        edge = self.kernel // 2
        padded = functional.pad(x, (0, 0, edge, edge))
        n_times = x.shape[1]
        return self.product(torch.cat([padded[:, tap : tap + n_times] for tap in range(self.kernel)], dim=-1))


class PackedConvOf3(nn.Module):
    """In place of a `ConvOverTime` of three taps: two frames at a time by four products instead of six.

    What it gives is in float32.

    This is Winograd's way, F(2, 3) (https://arxiv.org/abs/1509.09308): of frames a, b, c, d and taps f, g, h
    the results fa + gb + hc and fb + gc + hd are sums of (a - c) f, (b + c) (f + g + h) / 2,
    (c - b) (f - g + h) / 2 and (b - d) h.
    """

    def __init__(self, layer: ConvOverTime, *, precision: Precision, rows: int) -> None:
        super().__init__()
        f, g, h = layer.weight.detach().float().unbind(2)
        weights = (f, (f + g + h) / 2, (f - g + h) / 2, h)
        self.products = [Packed(weight, precision=precision, rows=max(1, rows // 2)) for weight in weights]
        self.bias = layer.bias

    def forward(self, x: Float[Tensor, "batch times dim_in"]) -> Float[Tensor, "batch times dim_out"]:
        n_times = x.shape[1]
        x = functional.pad(x.float(), (0, 0, 1, 1 + n_times % 2))
        a, b, c, d = x[:, :-2:2], x[:, 1:-1:2], x[:, 2::2], x[:, 3::2]
        parts = (a - c, b + c, c - b, b - d)
        first, plus, minus, last = (product(part) for product, part in zip(self.products, parts, strict=True))
        pairs = torch.stack([first.add_(plus).add_(minus), plus.sub_(minus).sub_(last)], dim=2)
        found = pairs.flatten(1, 2)[:, :n_times]
        return found if self.bias is None else found + self.bias


def packed(network: Network, precision: Precision = "float32", *, rows: int = 256) -> Network:
    """`network` for speaking: every linear layer and convolution over time is packed, all else is shared.

    It gives what `network` gives, up to rounding: with `bfloat16` and `int8` as under autocast, where norms,
    and what is added up from layer to layer, stay in float32. It can be neither trained nor saved, and takes
    no notice of later changes of what was packed. Drop `network` to save memory.

    Args:
        network: In evaluation mode, in float32, on its device. It calls its layers and does not read their
            weights; what is no such layer takes bfloat16 where it has to.
        precision: Of the packed weights.
        rows: Frames or symbols at a time that are expected, see `Packed`.
    """
    replacement = _replacement(network, precision, rows)
    if replacement is not None:
        return replacement  # type: ignore[return-value]
    outside = copy.copy(network)
    outside._modules = {
        name: None if part is None else packed(part, precision, rows=rows)
        for name, part in network._modules.items()
    }
    return outside


def _replacement(layer: nn.Module, precision: Precision, rows: int) -> nn.Module | None:
    if type(layer) is nn.Linear:
        return PackedLinear(layer, precision=precision, rows=rows)
    if type(layer) is not ConvOverTime or layer.groups > 1 or layer.dilation != (1,):
        return None
    if layer.kernel_size == (3,) and layer.weight.is_cpu:
        return PackedConvOf3(layer, precision=precision, rows=rows)
    return PackedConv(layer, precision=precision, rows=rows)

"""Linear layers for speaking on a CPU: the weight is laid out once as the processor reads it fastest.

Torch's own linear layer sorts its weight anew at each call, which for a few rows costs more than the product.
Nothing here can be trained: a `Packed` is made from a weight and forgets it.

Axes used in this file:
    out, in  channels after and before
    rows     of the input, all its leading axes together
    lead     these leading axes
"""

from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Float, Int8
from torch import Tensor
from torch.nn import functional

Precision = Literal["float32", "bfloat16", "int8"]
Weight = Float[Tensor, "out in"]
Bias = Float[Tensor, "out"] | None
Product = Callable[[Tensor], Tensor]

INT8_LEVELS = 127
INT8_WIDTH = 32  # torch's product with int8 weights reads beyond the end of other widths
FEW_ROWS = 4  # for more, that product takes longer than making a bfloat16 weight at each call


class Packed:
    """A linear layer, ready to be used many times.

    Args:
        weight: As `nn.Linear` has it, on the device where the layer will be used.
        bias: None: none.
        precision: `float32` gives what `nn.Linear` gives, up to the order of sums. `bfloat16` rounds weight,
            input and result to 8 binary digits; sums are taken in float32. `int8` rounds each row of the
            weight to 255 levels, the input and the product to bfloat16.
        rows: How many rows are expected at a time; others are right too, only slower on some processors.
    """

    def __init__(
        self, weight: Weight, bias: Bias = None, *, precision: Precision = "float32", rows: int = 1
    ) -> None:
        self.precision, self.rows = precision, rows
        self.dim_out, self.dim_in = weight.shape
        weight, bias = weight.detach(), None if bias is None else bias.detach()
        self._product: Product
        if precision == "int8":
            self._product = _int8_product(weight, bias)
        else:
            self._product = _product(weight, bias, getattr(torch, precision), rows)

    def __call__(self, x: Float[Tensor, "*lead in"]) -> Float[Tensor, "*lead out"]:
        """The product, in the type of `x`."""
        return self._product(x).to(x.dtype)


def quantised(weight: Weight) -> tuple[Int8[Tensor, "out in"], Float[Tensor, "out"]]:
    """Whole numbers from -127 to 127, and by what each row of them is multiplied, in bfloat16."""
    scale = (weight.abs().amax(1) / INT8_LEVELS).bfloat16()
    scale = torch.where(scale > 0, scale, torch.ones_like(scale))
    levels = (weight.float() / scale.float().unsqueeze(1)).round().clamp(-INT8_LEVELS, INT8_LEVELS)
    return levels.to(torch.int8).contiguous(), scale


def has_onednn(weight: Tensor, kind: torch.dtype) -> bool:
    """Can this processor's library for packed weights be used with numbers of this kind?"""
    onednn = torch.backends.mkldnn
    if weight.device.type != "cpu" or not (onednn.enabled and onednn.is_available()):  # type: ignore[no-untyped-call]
        return False
    return kind is not torch.bfloat16 or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _product(weight: Weight, bias: Bias, kind: torch.dtype, rows: int) -> Product:
    weight, bias = weight.to(kind), None if bias is None else bias.to(kind)
    if not has_onednn(weight, kind):
        return lambda x: functional.linear(x.to(kind), weight, bias)
    packed, multiply = (
        torch.ops.mkldnn._reorder_linear_weight(weight, rows),
        torch.ops.mkldnn._linear_pointwise,
    )
    return lambda x: multiply(x.to(kind), packed, bias, "none", [], "")


def _int8_product(weight: Weight, bias: Bias) -> Product:
    levels, scale = quantised(weight)
    is_readable = levels.device.type == "cpu" and levels.shape[1] % INT8_WIDTH == 0
    # Without bfloat16 in the processor, torch's products of such numbers are slower than those of float32.
    kind = (
        torch.bfloat16 if levels.device.type != "cpu" or has_onednn(levels, torch.bfloat16) else torch.float32
    )

    def product(x: Float[Tensor, "*lead in"]) -> Float[Tensor, "*lead out"]:
        rows = x.reshape(-1, x.shape[-1])
        if is_readable and len(rows) <= FEW_ROWS:
            found = torch._weight_int8pack_mm(rows.bfloat16().contiguous(), levels, scale)
        else:
            found = functional.linear(rows.to(kind), levels.to(kind)) * scale
        found = found.float() if bias is None else found + bias.float()
        return found.view(*x.shape[:-1], len(levels))

    return product

"""Linear layers that learn in a reduced precision, without the weights being kept twice.

Autocast keeps a rounded copy of every weight from the forward to the backward pass. Here a weight is rounded
where it is used, in both: that takes a few hundredths of the time of the product, and the copies of a large
network are never in memory together. The numbers are the same.

Axes used in this file:
    lead     of the input, all axes but the last
    in, out  channels before and after
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor


def reduced_kind(x: Tensor) -> torch.dtype | None:
    """In which numbers autocast multiplies on the device of `x`; None: autocast is off."""
    device = x.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None


def reduced_product(
    x: Float[Tensor, "*lead in"],
    weight: Float[Tensor, "in out"],
    bias: Float[Tensor, "out"],
    kind: torch.dtype,
) -> Float[Tensor, "*lead out"]:
    """`x @ weight + bias` of numbers rounded to `kind`, summed up as the device does it for this kind."""
    found: Tensor = _Product.apply(x, weight, bias, kind)  # type: ignore[no-untyped-call]
    return found


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 - torch's own
        x: Float[Tensor, "*lead in"],
        weight: Float[Tensor, "in out"],
        bias: Float[Tensor, "out"],
        kind: torch.dtype,
    ) -> Float[Tensor, "*lead out"]:
        ctx.kind, ctx.of_input = kind, x.dtype
        x = x.to(kind)
        # What a frozen weight has read is not needed again.
        ctx.save_for_backward(x if ctx.needs_input_grad[1] else None, weight)
        found = torch.addmm(bias.to(kind), x.flatten(0, -2), weight.to(kind))
        return found.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(
        ctx: Any,  # noqa: ANN401
        gradient: Float[Tensor, "*lead out"],
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None, None]:
        x, weight = ctx.saved_tensors
        lead = gradient.shape[:-1]
        gradient = gradient.to(ctx.kind).flatten(0, -2)
        of_x = of_weight = of_bias = None
        if ctx.needs_input_grad[0]:
            of_x = torch.mm(gradient, weight.to(ctx.kind).T).to(ctx.of_input).view(*lead, -1)
        if ctx.needs_input_grad[1]:
            of_weight = torch.mm(x.flatten(0, -2).T, gradient).to(weight.dtype)
        if ctx.needs_input_grad[2]:
            of_bias = gradient.sum(0).to(weight.dtype)
        return of_x, of_weight, of_bias, None

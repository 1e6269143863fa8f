"""A look at every number of a checkpoint, in one pass: what is not finite, what is all the same."""

from collections.abc import Mapping

import torch
from torch import Tensor


def oddities_of(tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """Name -> what is odd about it; each tensor is read once, one after the other."""
    found = {name: _odd(tensors[name]) for name in tensors}
    return {name: what for name, what in found.items() if what}


def _odd(tensor: Tensor) -> str | None:
    if not tensor.numel():
        return "holds no numbers"
    numbers = torch.view_as_real(tensor) if tensor.is_complex() else tensor
    numbers = numbers.view(torch.uint8) if numbers.dtype in (torch.bool, *NARROW) else numbers
    low, high = (float(end) for end in torch.aminmax(numbers))
    if (
        low != low or high in (float("inf"), -float("inf")) or low == -float("inf")
    ):  # NaN spreads to both ends
        return _not_finite(tensor)
    if low == high and tensor.numel() > 1:
        return f"all {tensor.numel():,} values are {low:g}"
    return None


def _not_finite(tensor: Tensor) -> str:
    n_nan, n_infinite = int(tensor.isnan().sum()), int(tensor.isinf().sum())
    kinds = ((n_nan, "NaN"), (n_infinite, "infinite"))
    return ", ".join(f"{n:,} {kind}" for n, kind in kinds if n) + f" of {tensor.numel():,}"


NARROW = (torch.float8_e4m3fn, torch.float8_e5m2)  # torch finds no ends of these; all-equal bits are found

"""A look at every number of a checkpoint, once: what is not a number, infinite, or all the same."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import isfinite

import torch
from torch import Tensor

from retimbre.checkpoint.read import Contents

CHUNK = 1 << 22  # numbers looked at together: what they are turned into must fit beside each other
WIDER = {torch.uint16: torch.int32, torch.uint32: torch.int64}  # whole numbers that torch cannot compare


@dataclass(frozen=True, kw_only=True)
class Oddity:
    """A tensor that is not as trained weights are; `what` says why, for instance `3 NaN`."""

    name: str
    what: str


@dataclass
class _Seen:
    """What is known of a tensor after some of its numbers."""

    n_nan: int = 0
    n_infinite: int = 0
    least: float | int | None = None
    largest: float | int | None = None

    def add(self, chunk: Tensor) -> None:
        """Look at more numbers; a second time only where the first look found something."""
        low, high = (value.item() for value in torch.aminmax(chunk))
        if not (isfinite(low) and isfinite(high)):  # NaN, if there is one, is both
            self.n_nan += int(chunk.isnan().sum())
            self.n_infinite += int(chunk.isinf().sum())
        self.least = low if self.least is None else min(self.least, low)
        self.largest = high if self.largest is None else max(self.largest, high)


def look_deep(contents: Contents) -> tuple[Oddity, ...]:
    """Every weight with NaN or infinite values, with all values equal, or without any; in the file's order.

    One tensor is in memory at a time, and only where the file cannot be mapped. Those of an optimiser are
    not looked at: equal values are no fault there.

    Raises:
        CheckpointError: for a tensor that cannot be read, such as a compressed one that is damaged.
    """
    found = ((name, _oddity(tensor)) for name, tensor in contents.tensors.items())
    return tuple(Oddity(name=name, what=what) for name, what in found if what)


def _oddity(tensor: Tensor) -> str:
    if not tensor.numel():
        return "no values"
    seen = _Seen()
    for chunk in _chunks(tensor):
        seen.add(_comparable(chunk))
    odd = [f"{seen.n_nan:,} NaN"] if seen.n_nan else []
    odd += [f"{seen.n_infinite:,} infinite"] if seen.n_infinite else []
    is_constant = not odd and tensor.numel() > 1 and seen.least == seen.largest
    return ", ".join(odd) or (f"all values equal {_shown(tensor)}" if is_constant else "")


def _shown(tensor: Tensor) -> str:
    return str(tensor[(0,) * tensor.dim()].item())


def _chunks(tensor: Tensor) -> Iterator[Tensor]:
    """All numbers, some at a time; only what is turned or repeated is copied, and only so much of it."""
    if tensor.numel() <= CHUNK:
        yield tensor
        return
    rows = tensor.view(-1) if tensor.is_contiguous() else tensor
    n_rows = max(1, CHUNK * len(rows) // rows.numel())
    for at in range(0, len(rows), n_rows):
        part = rows[at : at + n_rows]
        yield from _chunks(part if part.numel() <= CHUNK else part[0])


def _comparable(chunk: Tensor) -> Tensor:
    """The same numbers in a form that has a smallest and a largest one."""
    if chunk.is_complex():
        return torch.view_as_real(chunk.resolve_conj())
    if chunk.dtype == torch.uint64:
        return chunk.contiguous().view(torch.int64)  # another order, but equal where they are equal
    if chunk.is_floating_point() and chunk.itemsize == 1:
        return chunk.float()
    return chunk.to(WIDER.get(chunk.dtype, chunk.dtype))

"""One damaged tensor at a time: every way in which a single tensor of a file can be wrong."""

from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

from torch import Tensor


class Mutation(NamedTuple):
    """A set of tensors with one thing wrong.

    Args:
        kind: `remove`, `rename`, `transpose`, `resize` or `add`.
        name: The tensor that it is done to.
        tensors: All of them, the damaged one included; the others are the same objects as before.
        named: What the message about it must contain.
    """

    kind: str
    name: str
    tensors: dict[str, Tensor]
    named: str


def mutations(
    tensors: Mapping[str, Tensor], *, free: Mapping[str, Collection[int]] | None = None
) -> Iterator[Mutation]:
    """Remove, rename, transpose, lengthen by one, and add beside, for every tensor and every axis.

    Tensors may lie on the meta device. A transposition that changes no shape is left out.

    Args:
        tensors: Of a good file.
        free: Name -> axes whose length no other tensor tells. Another length there is another good network:
            no mutation.
    """
    for name, tensor in tensors.items():
        rest = {other: value for other, value in tensors.items() if other != name}
        yield Mutation("remove", name, rest, name)
        # The new name contains the old one, so a message may speak of the missing or the unexpected tensor.
        yield Mutation("rename", name, rest | {f"{name}_renamed": tensor}, name)
        yield Mutation("add", name, {**tensors, f"{name}_added": tensor}, f"{name}_added")
        for turned in _transposed(tensor):
            yield Mutation("transpose", name, rest | {name: turned}, name)
        for axis in range(max(1, tensor.dim())):
            if axis not in (free or {}).get(name, ()):
                yield Mutation("resize", name, rest | {name: _longer(tensor, axis)}, name)


def _transposed(tensor: Tensor) -> Iterator[Tensor]:
    """The first axis swapped with each other axis of another length."""
    for axis in range(1, tensor.dim()):
        if tensor.shape[0] != tensor.shape[axis]:
            yield tensor.transpose(0, axis).contiguous()


def _longer(tensor: Tensor, axis: int) -> Tensor:
    if not tensor.dim():
        return tensor.new_ones(1)
    shape = list(tensor.shape)
    shape[axis] += 1
    return tensor.new_ones(shape)

"""Tensors of a file by their names, each of which is read when somebody asks for it."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Outline:
    """What is known of a tensor before it is read."""

    dtype: torch.dtype
    shape: tuple[int, ...]


class LazyTensors(Mapping[str, Tensor]):
    """Name -> tensor. Nothing is kept: who asks twice for a tensor gets two, over the same memory if mapped.

    Args:
        outlines: Of all tensors, in the order of the file.
        read: The tensor of a name.
    """

    def __init__(self, outlines: Mapping[str, Outline], read: Callable[[str], Tensor]) -> None:
        self._outlines = outlines
        self._read = read

    @classmethod
    def in_memory(cls, tensors: Mapping[str, Tensor]) -> "LazyTensors":
        """Tensors that need no reading."""
        outlines = {name: Outline(tensor.dtype, tuple(tensor.shape)) for name, tensor in tensors.items()}
        return cls(outlines, tensors.__getitem__)

    def meta(self) -> dict[str, Tensor]:
        """Name -> a tensor of the same shape and dtype without numbers; no weight is read."""
        return {
            name: torch.empty(outline.shape, dtype=outline.dtype, device="meta")
            for name, outline in self._outlines.items()
        }

    def __getitem__(self, name: str) -> Tensor:
        return self._read(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._outlines)

    def __len__(self) -> int:
        return len(self._outlines)

    def __contains__(self, name: object) -> bool:
        return name in self._outlines

    def __repr__(self) -> str:
        return f"LazyTensors({len(self)} tensors)"

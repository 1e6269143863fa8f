"""Two checkpoints, tensor by tensor: what is equal, what was trained, what only one of them has."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from retimbre.checkpoint.read import Contents, read
from retimbre.errors import CheckpointError
from retimbre.models.complete import visible
from retimbre.models.explain import explain

N_SHOWN = 8


@dataclass(frozen=True, kw_only=True)
class Change:
    """How far a tensor moved.

    Args:
        relative: Length of the difference as a share of the length of the first tensor.
        largest: The largest difference of two numbers.
    """

    name: str
    relative: float
    largest: float


@dataclass(frozen=True, kw_only=True)
class Difference:
    """What two checkpoints have in common.

    Args:
        names: Whose names the tensors have here: `ours` where one family explains both, else `the files'`.
        equal: Tensors with the same bits.
        changed: The others of the same shape, the furthest first.
        reshaped: Name -> its two shapes.
    """

    first: Path
    second: Path
    names: str
    equal: tuple[str, ...]
    changed: tuple[Change, ...]
    reshaped: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]]
    only_first: tuple[str, ...]
    only_second: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """As JSON knows it."""
        return {
            "first": str(self.first),
            "second": str(self.second),
            "names": self.names,
            "equal": list(self.equal),
            "changed": {
                change.name: {"relative": _finite(change.relative), "largest": _finite(change.largest)}
                for change in self.changed
            },
            "reshaped": {name: [list(shape) for shape in both] for name, both in self.reshaped.items()},
            "only_first": list(self.only_first),
            "only_second": list(self.only_second),
        }

    def to_text(self) -> str:
        """A few lines: counts, then the tensors that moved most."""
        a, b = self.first.name, self.second.name
        n_both = len(self.equal) + len(self.changed) + len(self.reshaped)
        counts = f"{len(self.equal):,} equal, {len(self.changed):,} changed"
        lines = [f"{n_both:,} tensors in both ({self.names} names): {counts}"]
        lines += [
            f"  {change.relative:8.2%}  up to {change.largest:.3g}  {visible(change.name)}"
            for change in self.changed[:N_SHOWN]
        ]
        if len(self.changed) > N_SHOWN:
            lines.append(f"  … and {len(self.changed) - N_SHOWN:,} more, each less")
        lines += [
            f"another shape: {visible(name)} {one} and {other}"
            for name, (one, other) in self.reshaped.items()
        ]
        for file, names in ((a, self.only_first), (b, self.only_second)):
            if names:
                more = ", …" if len(names) > N_SHOWN else ""
                lines.append(
                    f"only in {file}: {len(names):,}: {', '.join(map(visible, names[:N_SHOWN]))}{more}"
                )
        return "\n".join(lines)


def compare(first: Path, second: Path) -> Difference:
    """How the tensors of two checkpoints differ; both are read, one tensor after the other."""
    contents = read(first), read(second)
    one, other, names = _tensors(*contents)
    both = [name for name in one if name in other]
    equal, changed, reshaped = [], [], {}
    for name in both:
        a, b = one[name], other[name]
        if a.shape != b.shape:
            reshaped[name] = (tuple(a.shape), tuple(b.shape))
        elif _same_bits(a, b):
            equal.append(name)
        else:
            changed.append(_change(name, a, b))
    return Difference(
        first=first,
        second=second,
        names=names,
        equal=tuple(equal),
        changed=tuple(sorted(changed, key=lambda change: -_sortable(change.relative))),
        reshaped=reshaped,
        only_first=tuple(name for name in one if name not in other),
        only_second=tuple(name for name in other if name not in one),
    )


def _tensors(one: Contents, other: Contents) -> tuple[Mapping[str, Tensor], Mapping[str, Tensor], str]:
    try:
        explained = explain(one), explain(other)
    except CheckpointError:  # nobody explains them: then names as they are
        return one.tensors, other.tensors, "the files'"
    if explained[0].family is not explained[1].family:
        return one.tensors, other.tensors, "the files'"
    return (*(found.weights() | found.discriminators() for found in explained), "our")  # type: ignore[return-value]


def _same_bits(a: Tensor, b: Tensor) -> bool:
    """NaN equals NaN, and 0.0 is not -0.0."""
    if a.dtype != b.dtype:
        return False
    return torch.equal(a.contiguous().flatten().view(torch.uint8), b.contiguous().flatten().view(torch.uint8))


def _change(name: str, a: Tensor, b: Tensor) -> Change:
    difference = a.double() - b.double()
    length = float(a.double().norm())
    return Change(
        name=name,
        relative=float(difference.norm()) / length if length else float("inf"),
        largest=float(difference.abs().max()),
    )


def _finite(number: float) -> float | None:
    """JSON knows neither infinity nor NaN."""
    return number if number - number == 0 else None


def _sortable(number: float) -> float:
    return number if number == number else float("inf")

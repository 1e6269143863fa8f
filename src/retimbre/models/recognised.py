"""What a file is that no family of ours builds: its name, one sentence, and what its tensors tell."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from retimbre.checkpoint.read import Contents
from retimbre.models.assumptions import Assumption
from retimbre.models.family import Shapes

UNTRAINABLE = "recognised, not yet trainable with Retimbre"


@dataclass(frozen=True, kw_only=True)
class Recognised:
    """A file that is known for what it is.

    Args:
        name: Short, for scripts, for instance `xtts-v2`.
        what: One plain sentence.
        facts: What names, shapes and plain values tell; sizes in the words of the file's own tool.
        assumed: What they do not.
    """

    name: str
    what: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    assumed: tuple[Assumption, ...] = ()


Row = Callable[[Contents], Recognised | None]  # None: the file is something else


def length(shapes: Shapes, axis: int, *names: str) -> int | None:
    """How long an axis of the first of these tensors is that is there and has it; None where none is."""
    for name in names:
        if len(shapes.get(name, ())) > axis:
            return shapes[name][axis]
    return None


def conv_names(layer: str) -> tuple[str, str, str]:
    """What the weight of a convolution is called, without weight norm and in either of its spellings."""
    return f"{layer}.weight", f"{layer}.weight_v", f"{layer}.parametrizations.weight.original1"


def known(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Without those that nothing tells."""
    return {name: value for name, value in facts.items() if value is not None}


def whole_number(value: object) -> int | None:
    """The value if it is a whole number; a file may hold anything in any place."""
    return value if type(value) is int else None


def mapping(value: object) -> Mapping[str, Any]:
    """The value if it is a dictionary, else an empty one."""
    return value if isinstance(value, Mapping) else {}

"""Is every tensor of a network in its file, in its shape, and nothing else? If not, which one is wrong?"""

from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from functools import lru_cache
from heapq import nlargest
from os.path import commonprefix
from typing import Any

from torch import Tensor, nn

from retimbre.checkpoint.ledger import Ledger
from retimbre.checkpoint.shapes import shapes_of
from retimbre.errors import CheckpointError
from retimbre.models.family import Shapes
from retimbre.models.unfilled import outlined_network

N_NAMED = 3
N_NEAREST = 3
N_LIKELY = 20  # of which the nearest are chosen
N_COMPARED = 200  # characters of a name
N_OUTLINES = 64


@lru_cache(maxsize=N_OUTLINES)
def empty_network(build: Callable[[Any], nn.Module], config: Any) -> nn.Module:  # noqa: ANN401
    """A network whose tensors have names, shapes and types, but hold no numbers."""
    return outlined_network(build, config)


@lru_cache(maxsize=N_OUTLINES)
def network_outline(build: Callable[[Any], nn.Module], config: Any) -> Mapping[str, Tensor]:  # noqa: ANN401
    """The tensors of `empty_network`, with the buffers."""
    return dict(empty_network(build, config).state_dict())


def require_complete(what: str, outline: Mapping[str, Tensor], ledger: Ledger) -> None:
    """Raise CheckpointError, naming each tensor as in the file, unless the ledger holds just these tensors.

    Args:
        what: The family, or the part of it, for the message.
        outline: What the network needs, see `network_outline`.
    """
    expected, found = shapes_of(outline), shapes_of(ledger.tensors)
    missing = [name for name in expected if name not in found]
    unknown = [name for name in found if name not in expected]
    wrong = [name for name in found if name in expected and found[name] != expected[name]]
    kinds = [
        name
        for name in found
        if name in expected and ledger.tensors[name].is_floating_point() != outline[name].is_floating_point()
    ]
    faults = [
        *_some("missing", missing, lambda name: visible(ledger.source(name))),
        *_some("not known", unknown, lambda name: _with_nearest(name, ledger, expected)),
        *_some("of another shape", wrong, lambda name: _reshaped(name, ledger, found, expected)),
        *_some(
            "of another type",
            kinds,
            lambda name: f"{visible(ledger.source(name))} ({ledger.tensors[name].dtype})",
        ),
    ]
    if faults:
        raise CheckpointError(
            f"these tensors are no complete {what}",
            expected=f"the {len(expected)} tensors of such a network",
            found="; ".join(faults),
            do="ask for the whole file, or state what was assumed ('retimbre inspect FILE' says what can be)",
        )


def _some(kind: str, names: list[str], said: Callable[[str], str]) -> Iterable[str]:
    if names:
        more = f" and {len(names) - N_NAMED} more" if len(names) > N_NAMED else ""
        yield f"{kind}: {', '.join(map(said, names[:N_NAMED]))}{more}"


def _with_nearest(name: str, ledger: Ledger, expected: Shapes) -> str:
    near = get_close_matches(name[:N_COMPARED], _likely(name, expected), n=N_NEAREST, cutoff=0.0)
    return f"{visible(ledger.source(name))} (nearest: {', '.join(map(ledger.source, near))})"


def _likely(name: str, expected: Iterable[str]) -> list[str]:
    """Some that begin and end like `name`: to compare it letter by letter with all takes too long."""
    back = name[::-1]
    return nlargest(
        N_LIKELY,
        expected,
        key=lambda other: len(commonprefix((name, other))) + len(commonprefix((back, other[::-1]))),
    )


def _reshaped(name: str, ledger: Ledger, found: Shapes, expected: Shapes) -> str:
    return f"{visible(ledger.source(name))} is {_by(found[name])}, expected {_by(expected[name])}"


def _by(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape)) or "one number"


def visible(text: str) -> str:
    """What a terminal shows and never obeys: a file may hold its commands in any name."""
    return text[:120] if text.isprintable() and text.strip() else ascii(text)[1:-1][:120]

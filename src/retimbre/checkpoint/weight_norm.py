"""Weight norm in a file, whichever way it is stored, on its way to the names with which networks here train.

See `retimbre.checkpoint.keys` for the three ways.
"""

from collections.abc import Mapping

from retimbre.checkpoint.keys import DIRECTION, parametrized_name, unfolded
from retimbre.checkpoint.ledger import Ledger
from retimbre.errors import CheckpointError

SPLIT = "its weight norm was folded away: split into length and direction again"


def take_weight_norm(ledger: Ledger, layers: str) -> None:
    """Every layer as length and direction.

    Args:
        ledger: Its tensors are renamed, and folded weights split.
        layers: A regular expression for the names of the layers that have weight norm.
    """
    of_file = dict(ledger.tensors)
    for name in ledger.names(rf"(?:{layers})\.weight_[gv]"):
        if (new := parametrized_name(name, of_file)) != name:
            ledger.rename(name, new, "weight norm, as torch 2 names it")
    for name in ledger.names(rf"(?:{layers})\.weight"):
        if ledger.tensors[name].dim() < 2:
            continue  # damaged: it will be named as unknown
        layer = name.removesuffix(".weight")
        pair = unfolded({name: ledger.tensors[name]}, [layer])
        ledger.replace((name,), pair, SPLIT)


def weight_shape(shapes: Mapping[str, tuple[int, ...]], layer: str, *, n_axes: int = 3) -> tuple[int, ...]:
    """The shape of a layer's weight, which its direction has.

    Raises:
        CheckpointError: There is none, or it has another number of axes.
    """
    found = shapes.get(layer + DIRECTION)
    if found is None or len(found) != n_axes:
        raise CheckpointError(
            f"the size of the layer '{layer}' is not known",
            expected=f"a tensor '{layer}{DIRECTION}' with {n_axes} axes",
            found="none" if found is None else f"shape {found}",
            do="ask for the whole file",
        )
    return found

"""What a loader does with a family before it reads a weight: names, sizes, and what does not fit."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from retimbre.checkpoint.ledger import Ledger
from retimbre.checkpoint.spelling import respelled
from retimbre.errors import CheckpointError
from retimbre.models.family import Family, Inferred


def shapes_of(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Their shapes by name."""
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


@lru_cache
def outline(family: Family, config: Any) -> dict[str, Tensor]:
    """The tensors of a network, without numbers."""
    with torch.device("meta"):
        return family.build(config).state_dict()


def explained(
    family: Family, tensors: Mapping[str, Tensor], known: Mapping[str, Any] | None = None
) -> tuple[Inferred, Ledger]:
    """Sizes and where each tensor goes; a tensor that is missing or does not fit is named as in the file."""
    ledger = Ledger(tensors)
    family.take(ledger)
    found = shapes_of(ledger.tensors)
    try:
        inferred = family.config_from(found, known or {})
    except CheckpointError as error:
        raise CheckpointError(respelled(str(error), ledger.source)) from error
    expected = outline(family, inferred.config)
    names = {ours: theirs for ours in expected for theirs in family.theirs({ours: expected[ours]})}
    wrong = [
        name for name in {**expected, **found} if expected.get(name, torch.empty(())).shape != found.get(name)
    ]
    if wrong:
        said = [ledger.source(name) if name in found else names[name] for name in wrong]
        raise CheckpointError(f"these tensors do not fit: {', '.join(said)}")
    return inferred, ledger

"""Job: one stage's objective with its data, ready for the loop."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import Dataset

from retimbre.models.description import Description
from retimbre.training.objective import Objective, Turn


@dataclass(frozen=True, kw_only=True)
class Beginning:
    """Where a run begins that goes on with the training of its base.

    Args:
        step: What its counter has come to.
        slots: Name of a parameter -> what its optimiser knows about it.
    """

    step: int
    slots: Mapping[str, Mapping[str, Tensor]]

    def fill(self, optimiser: Optimizer, turn: Turn) -> None:
        """Give the optimiser of `turn` what that of the base knew; its settings stay the recipe's."""
        names = {parameter: name for name, parameter in turn.module.named_parameters()}
        content = optimiser.state_dict()
        parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
        known = enumerate(self.slots.get(names[parameter]) for parameter in parameters)
        content["state"] = {number: dict(slots) for number, slots in known if slots is not None}
        optimiser.load_state_dict(content)


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a family hands to a run.

    Args:
        objective: Losses and held-out measures.
        dataset: Indexed by batching.Key.
        lengths: Of each item, for the length buckets.
        collate: Items -> batch.
        description: Of the model that is trained.
        keep: Writes the present weights, ready to use, as (path, step).
        shown: Names of logged values that the progress line shows.
        beside: Networks that the parts work in and that nobody saves: the base of small matrices.
        beginning: Where it goes on with another training; None to begin at step 0.
    """

    objective: Objective
    dataset: "Dataset[Any]"
    lengths: Sequence[int]
    collate: Callable[[list[Any]], Any]
    description: Description
    keep: Callable[[Path, int], None]
    shown: tuple[str, ...] = ()
    beside: tuple[nn.Module, ...] = ()
    beginning: Beginning | None = None

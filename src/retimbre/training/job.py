"""Job: one stage's objective with its data, ready for the loop."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch.utils.data import Dataset

from retimbre.models.description import Description
from retimbre.training.objective import Objective


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
    """

    objective: Objective
    dataset: "Dataset[Any]"
    lengths: Sequence[int]
    collate: Callable[[list[Any]], Any]
    description: Description
    keep: Callable[[Path, int], None]
    shown: tuple[str, ...] = ()

"""What the loop asks of a family: its parts, its turns, and how good it is on validation utterances."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where a run is. `step` counts optimiser updates, which is also the number of batches drawn."""

    step: int = 0
    best_score: float | None = None
    best_step: int | None = None
    seconds: float = 0.0


@dataclass(frozen=True)
class Parts:
    """A batch that goes through the network part by part, so that less memory is needed.

    The losses of a part are its share of those of the whole batch: they and their gradients are added up.
    """

    parts: tuple[Any, ...]


@dataclass(frozen=True)
class Turn:
    """One optimiser's share of a step: which part learns, from which losses, and when it takes part."""

    name: str
    module: nn.Module
    losses: Callable[[Any, Any, Progress], dict[str, Tensor]]
    is_active: Callable[[Progress], bool] = field(default=lambda progress: True)


@dataclass(frozen=True)
class Verdict:
    """Validation measures at one step, the one that decides which weights are kept, and things to look at."""

    measures: Mapping[str, float]
    score: float  # lower is better
    pictures: Mapping[str, Tensor] = field(default_factory=dict)  # [mels frames], log-mel
    sounds: Mapping[str, tuple[Tensor, int]] = field(default_factory=dict)  # samples, samples per second


@runtime_checkable
class Objective(Protocol):
    """What a family adds to the loop: its losses by name, its parameter groups, nothing else."""

    def parts(self) -> dict[str, nn.Module]:
        """Every module with weights, by name; each is saved and restored."""

    def turns(self) -> tuple[Turn, ...]:
        """In the order in which they learn within a step."""

    def begin(self, batch: Any, progress: Progress) -> Any:  # noqa: ANN401
        """Whatever several turns share, computed once."""

    def validate(self, progress: Progress) -> Verdict:
        """Measure on validation utterances, through the path that inference takes."""

"""What of a network learns: all of it, some named groups, or small matrices beside it; and how it is kept."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, TypeVar

from torch import nn

from retimbre.errors import RecipeError
from retimbre.models.adapted import weights_sha256
from retimbre.models.adapter import AdapterDescription, BaseFile, write_adapter
from retimbre.models.description import Description
from retimbre.models.explain import IN_BY_OUT
from retimbre.models.load import save_model
from retimbre.nn.lora import Adapters, matrices_in
from retimbre.recipe.training import Lora, Training
from retimbre.training.freezing import freeze, require_beginnings
from retimbre.training.groups import TARGETS, move_only, tensors_in

Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True, kw_only=True)
class Learner(Generic[Network]):
    """What of a network learns.

    Args:
        network: All of it, as it speaks.
        description: Of the network, as it was before.
        adapters: With `training.lora`: the small matrices, which alone learn.
        over: What they are of, without the steps.
    """

    network: Network
    description: Description
    adapters: Adapters | None = None
    over: AdapterDescription | None = None

    @property
    def part(self) -> nn.Module:
        """What the run's optimiser moves and its checkpoints hold."""
        return self.adapters or self.network

    def keep(self, path: Path, step: int) -> None:
        """Write what was learnt in `step` steps: the whole network, or the small matrices alone."""
        if self.adapters is None or self.over is None:
            described = replace(self.description, step=self.description.step + step)
            save_model(path, self.network, described)
        else:
            write_adapter(path, self.adapters, replace(self.over, step=step))


def learner_of(network: Network, description: Description, settings: Training) -> Learner[Network]:
    """Let learn what a recipe says, and stop the rest.

    Args:
        network: As it was read: in float32, so that its weights are known again.
        description: With a lineage that names the base, as `lineage` makes it.

    Raises:
        RecipeError: There are no such groups, or the keys contradict each other.
    """
    family = description.family
    require_learnable(network, settings, family)
    if settings.lora is not None:
        over = _over(network, description, settings.lora)
        adapters = attach(network, settings.lora, family)
        return Learner(network=network, description=description, adapters=adapters, over=over)
    if settings.moving:
        move_only(network, settings.moving, family)
    freeze(network, settings.frozen)
    return Learner(network=network, description=description)


def require_learnable(network: nn.Module, settings: Training, family: str) -> None:
    """Can what a recipe names learn, or be stopped? Nothing is changed.

    Raises:
        RecipeError: There are no such groups or tensors, or the keys contradict each other.
    """
    names = dict(network.named_parameters())
    if settings.lora is not None:
        if settings.moving or settings.frozen:
            raise RecipeError(
                "training.lora learns small matrices and nothing else",
                expected="neither training.moving nor training.frozen",
                found=f"training.{'moving' if settings.moving else 'frozen'}",
                do="choose matrices by training.lora.targets, or leave training.lora out",
            )
        _layers(network, settings.lora, family)
    tensors_in(settings.moving, names, family)
    require_beginnings(names, settings.frozen)


def attach(network: nn.Module, settings: Lora, family: str) -> Adapters:
    """Small matrices beside all layers in the groups of `settings.targets` that can have them.

    Layers that mix neighbouring frames, tables and norms have none.

    Raises:
        RecipeError: There are no such groups, or no matrices in them.
    """
    return Adapters(
        network,
        _layers(network, settings, family),
        rank=settings.rank,
        alpha=settings.alpha,
        dropout=settings.dropout,
        in_by_out=IN_BY_OUT,
    )


def _layers(network: nn.Module, settings: Lora, family: str) -> list[str]:
    """Names of those that get small matrices."""
    parameters = dict(network.named_parameters())
    matrices = matrices_in(network, IN_BY_OUT)
    for target in settings.targets or ("",):
        inside = tensors_in([target], parameters, family, key=TARGETS)
        if not any(f"{name}.weight" in inside for name in matrices):
            raise RecipeError(
                f"there are no matrices in '{target}' that could get smaller ones beside them",
                expected=f"{TARGETS} such as attention, feed-forward",
                found=target,
                do="learn it whole: training.moving instead of training.lora",
            )
    inside = tensors_in(settings.targets, parameters, family, key=TARGETS)
    return [name for name in matrices if f"{name}.weight" in inside]


def _over(network: nn.Module, description: Description, settings: Lora) -> AdapterDescription:
    """What the small matrices are of; the weights are looked at before anything is changed."""
    base = description.lineage.get("base")
    if not base:
        raise RecipeError("training.lora needs a base: small matrices beside random ones say nothing")
    return AdapterDescription(
        family=description.family,
        base=BaseFile(
            file=base["file"],
            sha256=base["sha256"],
            weights_sha256=weights_sha256(network.state_dict()),
        ),
        rank=settings.rank,
        alpha=settings.alpha,
        targets=settings.targets,
        lineage=description.lineage,
    )

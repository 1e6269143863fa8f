"""The one training loop. It is the only caller of `backward`."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from time import perf_counter
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer

from retimbre.errors import RunError
from retimbre.recipe.training import Training
from retimbre.training.objective import Objective, Parts, Progress, Turn
from retimbre.training.schedules import learning_rate

if TYPE_CHECKING:
    from lightning_fabric import Fabric

AfterStep = Callable[[Progress, Mapping[str, float]], Progress]  # may note what it measured


def train_steps(
    fabric: "Fabric",
    objective: Objective,
    optimisers: Mapping[str, Optimizer],
    batches: Iterable[Any],
    progress: Progress,
    settings: Training,
    *,
    after_step: AfterStep,
    is_stopping: Callable[[], bool] = lambda: False,
) -> Progress:
    """Update the weights batch by batch until `settings.steps`, or until `is_stopping` after a step."""
    turns = objective.turns()
    trainable = {turn.name: [p for p in turn.module.parameters() if p.requires_grad] for turn in turns}
    if progress.step >= settings.steps:
        return progress
    for batch in batches:
        began = perf_counter()
        parts = batch.parts if isinstance(batch, Parts) else (batch,)
        logged = _step(fabric, objective, turns, trainable, optimisers, parts, progress, settings)
        progress = replace(
            progress, step=progress.step + 1, seconds=progress.seconds + perf_counter() - began
        )
        progress = after_step(progress, logged)
        if is_stopping() or progress.step >= settings.steps:
            break
    return progress


def _step(
    fabric: "Fabric",
    objective: Objective,
    turns: tuple[Turn, ...],
    trainable: Mapping[str, list[nn.Parameter]],
    optimisers: Mapping[str, Optimizer],
    parts: tuple[Any, ...],
    progress: Progress,
    settings: Training,
) -> dict[str, float]:
    """One update of every active turn; what to log, by name."""
    logged: dict[str, Tensor | float] = {}
    parts = tuple(fabric.to_device(part) for part in parts)
    with fabric.autocast():
        shared = [objective.begin(part, progress) for part in parts]
    rate = learning_rate(settings.optimiser, progress.step, settings.steps)
    for turn in turns:
        if not turn.is_active(progress):
            continue
        _only_this_learns(turn, trainable)
        optimiser = optimisers[turn.name]
        for group in optimiser.param_groups:
            group["lr"] = rate
        optimiser.zero_grad(set_to_none=True)
        losses: dict[str, Tensor] = {}
        for part, begun in zip(parts, shared, strict=True):
            of_part = _backward(fabric, turn, part, begun, progress)
            losses = {name: losses.get(name, 0.0) + loss for name, loss in of_part.items()}
        norm = clip_grad_norm_(trainable[turn.name], settings.optimiser.clip_norm)
        _require_finite({f"the gradient of {turn.name}": norm}, norm, progress)
        optimiser.step()
        logged |= {f"{turn.name}/{name}": loss for name, loss in losses.items()}
        logged |= {f"{turn.name}/total": sum(losses.values()), f"{turn.name}/gradient_norm": norm.detach()}
    _all_learn(trainable)
    logged["learning_rate"] = rate
    return {name: float(value) for name, value in logged.items()}


def _backward(
    fabric: "Fabric",
    turn: Turn,
    part: Any,  # noqa: ANN401
    shared: Any,  # noqa: ANN401
    progress: Progress,
) -> dict[str, Tensor]:
    """The gradients of one part of a batch, added to those of the parts before; its losses."""
    with fabric.autocast():
        losses = turn.losses(part, shared, progress)
    total = torch.stack([loss.float() for loss in losses.values()]).sum()
    _require_finite(losses, total, progress)
    fabric.backward(total)
    return {name: loss.detach().float() for name, loss in losses.items()}


def _only_this_learns(turn: Turn, trainable: Mapping[str, list[nn.Parameter]]) -> None:
    """Gradients still flow through the other parts, but are not computed for their weights."""
    for name, parameters in trainable.items():
        for parameter in parameters:
            parameter.requires_grad_(name == turn.name)


def _all_learn(trainable: Mapping[str, list[nn.Parameter]]) -> None:
    for parameters in trainable.values():
        for parameter in parameters:
            parameter.requires_grad_(True)


def _require_finite(losses: Mapping[str, Tensor], total: Tensor, progress: Progress) -> None:
    if torch.isfinite(total):
        return
    bad = [name for name, loss in losses.items() if not torch.isfinite(loss)]
    raise RunError(
        f"training diverged at step {progress.step + 1}: {', '.join(bad) or 'the total'} is no finite number",
        do="go on from the last checkpoint with a tenth of the learning rate "
        "(--resume -c training.optimiser.learning_rate=…)",
    )

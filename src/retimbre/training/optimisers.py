"""The optimiser of a turn: which one, over which tensors, and which of these decay."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Adam, AdamW, Optimizer, RMSprop

from retimbre.errors import RecipeError
from retimbre.recipe.training import Optimiser
from retimbre.training.eight_bit import adamw_8bit
from retimbre.training.objective import Turn


def optimiser_of(turn: Turn, settings: Optimiser) -> Optimizer:
    """Over everything of the turn that moves.

    Raises:
        RecipeError: if nothing does.
    """
    groups = _groups(turn.module, settings)
    if not groups:
        raise RecipeError(
            f"training.frozen leaves nothing of the {turn.name} to learn", do="freeze less of it"
        )
    rate, betas, eps, decay = settings.learning_rate, settings.betas, settings.eps, settings.weight_decay
    if settings.name == "rms":
        return RMSprop(groups, lr=rate, alpha=settings.alpha, eps=eps, weight_decay=decay)
    if settings.name == "lion":
        return Lion(groups, lr=rate, betas=betas, weight_decay=decay)
    if settings.name == "adamw8bit":
        return adamw_8bit(groups, learning_rate=rate, betas=betas, eps=eps, weight_decay=decay)
    kind = AdamW if settings.name == "adamw" else Adam
    return kind(groups, lr=rate, betas=betas, eps=eps, weight_decay=decay, fused=True)


def _groups(module: nn.Module, settings: Optimiser) -> list[dict[str, Any]]:
    """What decays and what does not; an empty group is left out."""
    moving = [p for p in module.parameters() if p.requires_grad]
    if settings.decays == "everything":
        return [{"params": moving}] if moving else []
    matrices = _matrices(module)
    decaying = [p for p in moving if id(p) in matrices]
    spared = [p for p in moving if id(p) not in matrices]
    groups: list[dict[str, Any]] = [{"params": decaying}, {"params": spared, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


def _matrices(module: nn.Module) -> set[int]:
    """Weights with two axes or more, but no table of vectors."""
    tables = {id(m.weight) for m in module.modules() if isinstance(m, nn.Embedding)}
    return {id(p) for p in module.parameters() if p.ndim > 1 and id(p) not in tables}


class Lion(Optimizer):
    """Moves each weight by the sign of a momentum (https://arxiv.org/abs/2302.06675, algorithm 2)."""

    def __init__(
        self,
        groups: Iterable[dict[str, Any]],
        *,
        lr: float,
        betas: tuple[float, float],
        weight_decay: float,
    ) -> None:
        super().__init__(groups, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update of all weights that have a gradient."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._move(weight, weight.grad, group)

    def _move(self, weight: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        (first, second), rate = group["betas"], group["lr"]
        state = self.state[weight]
        if not state:
            state["momentum"] = torch.zeros_like(weight)
        momentum = state["momentum"]
        direction = torch.lerp(gradient, momentum, first).sign()
        weight.mul_(1 - rate * group["weight_decay"]).add_(direction, alpha=-rate)
        momentum.lerp_(gradient, 1 - second)

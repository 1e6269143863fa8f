"""AdamW whose two averages take a quarter of the memory. The only file that imports bitsandbytes."""

from typing import Any

import torch
from torch.optim import Optimizer

from retimbre.errors import MissingExtra, RecipeError


def adamw_8bit(
    groups: list[dict[str, Any]],
    *,
    learning_rate: float,
    betas: tuple[float, float],
    eps: float,
    weight_decay: float,
) -> Optimizer:
    """Needs a GPU: its kernels are written for one (https://arxiv.org/abs/2110.02861)."""
    if not torch.cuda.is_available():
        raise RecipeError(
            "training.optimiser.name: adamw8bit needs a GPU",
            expected="adamw on a processor",
            found="no GPU",
            do="write adamw; where memory is short, train with lora: {}",
        )
    try:
        from bitsandbytes.optim import AdamW8bit  # type: ignore[import-not-found]
    except ImportError as error:
        raise MissingExtra("An 8-bit optimiser", extra="eight-bit") from error
    optimiser: Optimizer = AdamW8bit(
        groups, lr=learning_rate, betas=betas, eps=eps, weight_decay=weight_decay
    )
    return optimiser

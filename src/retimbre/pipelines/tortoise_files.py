"""A model of TorToiSe as its own program and DL-Art-School keep it: a state dict under their names.

Both load it strictly with the transformers of today. Up to about version 4.29 that package kept causal masks
among the weights; programs that pin such a version want them in the file.
"""

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor

from retimbre.checkpoint.keys import folded
from retimbre.checkpoint.write import owned
from retimbre.errors import CheckpointError
from retimbre.models.explain import Explained
from retimbre.models.family import unwrapped
from retimbre.models.tortoise_ar.config import UnifiedVoiceConfig
from retimbre.models.tortoise_ar.variants import VARIANTS, head_of, with_head

BELOW = {"univnet": "model_g"}  # where a program looks for the weights, if not at the top
MASKED = -1e4  # what transformers adds to scores of the future


def tortoise_checkpoint(
    found: Explained, *, variant: str = VARIANTS[0], has_masks: bool = False, is_folded: bool = False
) -> dict[str, Any]:
    """The top level of the file.

    Args:
        variant: Of the autoregressive network: whose program reads the file.
        has_masks: With the causal masks of older transformers.
        is_folded: Of a vocoder: plain weights instead of lengths and directions.

    Raises:
        CheckpointError: there is no such variant, or it is asked of another family.
    """
    tensors = found.weights()
    named = folded(tensors) if is_folded else found.family.theirs(tensors)
    if found.family.name == "tortoise_ar":
        config = cast(UnifiedVoiceConfig, found.config)
        named = {**with_head(named, variant, config), **head_in(found, variant)}
        named |= _masks(config) if has_masks else {}
    elif variant != VARIANTS[0] or has_masks:
        raise CheckpointError(
            f"{found.contents.path.name} has neither variants nor masks",
            expected="an autoregressive network",
            found=found.family.name,
            do="leave --variant and --masks out",
        )
    below = BELOW.get(found.family.name)
    return {below: owned(named)} if below else owned(named)


def head_in(found: Explained, variant: str) -> dict[str, Tensor]:
    """The third head that a variant wants, where the file itself holds it."""
    tensors = unwrapped(found.contents.tensors).tensors
    wanted = head_of(variant, cast(UnifiedVoiceConfig, found.config))
    return {name: tensors[name] for name, shape in wanted.items() if _has_shape(tensors, name, shape)}


def heads_of_others(found: Explained) -> dict[str, Tensor]:
    """Every third head in the file, to be kept beside the weights in our own format."""
    if found.family.name != "tortoise_ar":
        return {}
    return {name: tensor for variant in VARIANTS for name, tensor in head_in(found, variant).items()}


def _has_shape(tensors: Mapping[str, Tensor], name: str, shape: tuple[int, ...]) -> bool:
    return name in tensors and tuple(tensors[name].shape) == shape


def _masks(config: UnifiedVoiceConfig) -> dict[str, Tensor]:
    n = config.n_symbol_positions + config.n_code_positions
    future = torch.ones(n, n, dtype=torch.uint8).tril().view(1, 1, n, n)
    masks: dict[str, Tensor] = {}
    for layer in range(config.n_layers):
        masks[f"gpt.h.{layer}.attn.bias"] = future
        masks[f"gpt.h.{layer}.attn.masked_bias"] = torch.tensor(MASKED)
    return masks

"""A model of TorToiSe as its own program and DL-Art-School keep it: a state dict under their names.

Both load it strictly with the transformers of today. Up to about version 4.29 that package kept causal masks
among the weights; programs that pin such a version want them in the file.

They take nothing but tensors in it, so that what a model comes from stands in a JSON file beside it.
"""

from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from retimbre.checkpoint.digest import sha256_of
from retimbre.checkpoint.keys import folded
from retimbre.checkpoint.write import owned, write_json
from retimbre.models.explain import Explained
from retimbre.models.family import unprefixed
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
        has_masks: Of the same: with the causal masks of older transformers.
        is_folded: Of a vocoder: plain weights instead of lengths and directions.
    """
    tensors = found.weights()
    named = folded(tensors) if is_folded else found.family.theirs(tensors)
    if found.family.name == "tortoise_ar":
        config = cast(UnifiedVoiceConfig, found.config)
        named = {**with_head(named, variant, config), **head_in(found, variant)}
        named |= _masks(config) if has_masks else {}
    below = BELOW.get(found.family.name)
    return {below: owned(named)} if below else owned(named)


def head_in(found: Explained, variant: str) -> dict[str, Tensor]:
    """The third head that a variant wants, where the file itself holds it."""
    wanted = head_of(variant, cast(UnifiedVoiceConfig, found.config))
    places = {unprefixed(place): place for place in found.dropped}
    held = {name: found.contents.tensors[places[name]] for name in wanted if name in places}
    return {name: tensor for name, tensor in held.items() if tuple(tensor.shape) == wanted[name]}


def heads_of_others(found: Explained) -> dict[str, Tensor]:
    """Every third head in the file, to be kept beside the weights in our own format."""
    if found.family.name != "tortoise_ar":
        return {}
    return {name: tensor for variant in VARIANTS for name, tensor in head_in(found, variant).items()}


def fresh_head(found: Explained, variant: str) -> str | None:
    """What to say where a variant wants a third head that the file lacks; None where it is there."""
    if found.family.name != "tortoise_ar":
        return None
    wanted = head_of(variant, cast(UnifiedVoiceConfig, found.config)).keys() - head_in(found, variant).keys()
    if not wanted:
        return None
    return f"new, with random weights: {', '.join(sorted(wanted))}, which {variant} wants and this file lacks"


def has_story(found: Explained) -> bool:
    """Is there anything to tell of the model: was it trained here, or are adapters folded in?"""
    return found.written_by == "Retimbre" or bool(found.adapters)


def described_beside(path: Path) -> Path:
    """The JSON file that belongs to `path`: autoregressive.pth.json."""
    return path.with_name(path.name + ".json")


def write_story(found: Explained, path: Path) -> Path:
    """The description with contact and lineage, and the hash of the file that it is about."""
    beside = described_beside(path)
    write_json(beside, {**found.description.to_dict(), "sha256": sha256_of(path)})
    return beside


def _masks(config: UnifiedVoiceConfig) -> dict[str, Tensor]:
    n = config.n_symbol_positions + config.n_code_positions
    future = torch.ones(n, n, dtype=torch.uint8).tril().view(1, 1, n, n)
    masks: dict[str, Tensor] = {}
    for layer in range(config.n_layers):
        masks[f"gpt.h.{layer}.attn.bias"] = future
        masks[f"gpt.h.{layer}.attn.masked_bias"] = torch.tensor(MASKED)
    return masks

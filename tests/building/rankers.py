"""Tiny rankers of TorToiSe, and what is wrong with a file that should hold one."""

from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from building.mutations import Mutation, mutations
from retimbre.checkpoint.ledger import Ledger
from retimbre.errors import CheckpointError
from retimbre.models.family import Family
from retimbre.models.tortoise_clvp.config import ClvpConfig
from retimbre.models.tortoise_cvvp.config import CvvpConfig

# Every size that could be mistaken for another one differs from it.
CLVP = ClvpConfig(
    n_symbols=23,
    n_codes=29,
    text_dim=12,
    n_text_layers=3,
    n_text_heads=2,
    text_attention_dim=128,
    speech_dim=10,
    n_speech_layers=2,
    n_speech_heads=3,
    speech_attention_dim=192,
    latent_dim=14,
)
SQUARE_CLVP = ClvpConfig(
    n_symbols=23,
    n_codes=29,
    text_dim=12,
    n_text_layers=1,
    n_text_heads=1,
    text_attention_dim=64,
    speech_dim=12,
    n_speech_layers=1,
    n_speech_heads=1,
    speech_attention_dim=64,
    latent_dim=12,
)
CVVP = CvvpConfig(
    dim=24, n_heads=2, attention_dim=128, n_conditioning_layers=2, n_speech_layers=1, n_codes=31
)


def shapes_of(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Name -> shape."""
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def meta_tensors(family: Family, config: Any) -> dict[str, Tensor]:
    """The tensors of a network without numbers."""
    return dict(_network(family, config).state_dict())


@lru_cache
def _network(family: Family, config: Any) -> nn.Module:
    with torch.device("meta"):
        return family.build(config)


def blamed(family: Family, tensors: Mapping[str, Tensor]) -> set[str] | str:
    """The names, as in the file, of tensors that do not fit the network they tell of; or the error's text."""
    if not family.fits(shapes_of(tensors)):
        return "not recognised"
    ledger = Ledger(tensors)
    try:
        family.take(ledger)
        config = family.config_from(shapes_of(ledger.tensors), {}).config
    except CheckpointError as error:
        return str(error)
    expected, found = shapes_of(meta_tensors(family, config)), shapes_of(ledger.tensors)
    differ = {name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name)}
    return {ledger.source(name) for name in differ}


def unfair(
    family: Family,
    tensors: Mapping[str, Tensor],
    *,
    free: Mapping[str, Collection[int]],
    either: Collection[str] = (),
) -> list[str]:
    """Every way of damaging one tensor after which not that one alone is blamed.

    Args:
        family: What the tensors are of.
        tensors: Of a good file.
        free: Axes whose length no other tensor tells.
        either: Tensors that alone tell of each other's length: where they disagree, any may be blamed.
    """
    return [
        f"{mutation.kind} {mutation.name}: {found}"
        for mutation in mutations(tensors, free=free)
        if not _is_fair(mutation, found := blamed(family, mutation.tensors), either)
    ]


def _is_fair(mutation: Mutation, found: set[str] | str, either: Collection[str]) -> bool:
    if isinstance(found, str):
        return mutation.named in found
    suspects = {mutation.name, f"{mutation.name}_renamed", f"{mutation.name}_added"}
    if mutation.kind in ("resize", "transpose") and mutation.name in either:
        suspects.update(either)
    return bool(found) and found <= suspects

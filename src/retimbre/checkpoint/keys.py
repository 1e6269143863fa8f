"""Renaming of tensors: prefixes of wrappers, and the three ways in which weight norm is stored.

    parametrized   X.parametrizations.weight.original0 (length g), .original1 (direction v); EveryVoice, ours
    older          X.weight_g and X.weight_v; before torch 2, original HiFi-GAN
    folded         X.weight = g * v / |v|; for use only

The length |v| is taken over all axes but the first. Spectral norm has a `weight_v` too, never a `weight_g`.
"""

from collections.abc import Iterable, Mapping
from typing import TypeVar

import torch
from torch import Tensor
from torch.linalg import vector_norm

Value = TypeVar("Value")

LENGTH = ".parametrizations.weight.original0"
DIRECTION = ".parametrizations.weight.original1"


def below_prefix(tensors: Mapping[str, Value], prefix: str) -> dict[str, Value]:
    """Only what begins with `prefix`, without it."""
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def parametrized(tensors: Mapping[str, Value]) -> dict[str, Value]:
    """Older weight-norm names as torch 2 writes them; other names stay."""
    return {parametrized_name(name, tensors): value for name, value in tensors.items()}


def older_weight_norm(tensors: Mapping[str, Value]) -> dict[str, Value]:
    """Back again: the weight-norm names that the original HiFi-GAN reads."""
    return {
        name.replace(LENGTH, ".weight_g").replace(DIRECTION, ".weight_v"): value
        for name, value in tensors.items()
    }


def folded(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """One plain weight for each pair of length and direction, whichever names the pair has.

    A direction that is as long as it should be is the weight already, bit for bit: so `unfolded` is undone.
    """
    named = parametrized(tensors)
    plain = {name: tensor for name, tensor in named.items() if not name.endswith((LENGTH, DIRECTION))}
    for name, length in named.items():
        direction = named.get(name.removesuffix(LENGTH) + DIRECTION) if name.endswith(LENGTH) else None
        if direction is not None:
            layer = name.removesuffix(LENGTH)
            found = _length(direction)
            plain[f"{layer}.weight"] = torch.where(length == found, direction, length * direction / found)
    return plain


def unfolded(tensors: Mapping[str, Tensor], layers: Iterable[str]) -> dict[str, Tensor]:
    """Length and direction for the plain weight of each of `layers`: the same weight, tunable as before."""
    named = dict(tensors)
    for layer in layers:
        weight = named.pop(f"{layer}.weight", None)
        if weight is not None:
            named[layer + LENGTH] = _length(weight)
            named[layer + DIRECTION] = weight
    return named


def parametrized_name(name: str, names: Mapping[str, object]) -> str:
    """A name as torch 2 writes it, if it is one of weight norm among `names`.

    Also that of a half alone: then the other half is missing, and not this one strange.
    """
    layer, _, last = name.rpartition(".")
    is_spectral = f"{layer}.weight_orig" in names or f"{layer}.weight_u" in names
    if last == "weight_g":
        return layer + LENGTH
    if last == "weight_v" and (f"{layer}.weight_g" in names or not is_spectral):
        return layer + DIRECTION
    return name


def _length(direction: Tensor) -> Tensor:
    if direction.is_meta:  # there torch would load its compiler for a norm, which takes seconds
        return direction.new_empty([n if axis == 0 else 1 for axis, n in enumerate(direction.shape)])
    length: Tensor = vector_norm(direction, dim=tuple(range(1, direction.dim())), keepdim=True)
    return length

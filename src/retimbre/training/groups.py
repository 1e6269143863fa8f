"""Named groups of TorToiSe's networks -> their tensors: for `training.moving` and `training.lora.targets`.

A group whose tensors lie in layers can be had of some of them: `attention.20-29`, `layers.0`.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from torch import nn

from retimbre.errors import RecipeError

MOVING, TARGETS = "training.moving", "training.lora.targets"
RANGE = re.compile(r"(?P<group>[a-z-]+?)\.(?P<first>[0-9]{1,4})(-(?P<last>[0-9]{1,4}))?")


@dataclass(frozen=True, kw_only=True)
class Groups:
    """Those of one family.

    Args:
        patterns: Name of a group -> what the names of its tensors begin with, a regular expression.
        layer: Of a tensor in a numbered layer: its beginning, with the number as its only group.
    """

    patterns: Mapping[str, str]
    layer: str = r"(?!)"


GROUPS: Mapping[str, Groups] = {
    "tortoise_ar": Groups(
        patterns={
            "voice": r"conditioning_encoder\.",
            "text": r"text_",
            "codes": r"mel_",
            "embeddings": r"(text|mel)_(solo_)?embedding",
            "positions": r"(text|mel)_pos_embedding\.",
            "heads": r"(text|mel)_head\.",
            "transformer": r"gpt\.|final_norm\.",
            "layers": r"gpt\.h\.",
            "attention": r"gpt\.h\.[0-9]+\.attn\.",
            "feed-forward": r"gpt\.h\.[0-9]+\.mlp\.",
            "norms": r"gpt\.h\.[0-9]+\.ln_[12]\.|gpt\.ln_f\.|final_norm\.",
        },
        layer=r"gpt\.h\.([0-9]+)\.",
    ),
    "tortoise_diffusion": Groups(
        patterns={
            "latents": r"latent_conditioner\.",
            "codes": r"code_embedding\.|code_converter\.",
            "voice": r"contextual_embedder\.",
            "time": r"time_embed\.|.*\.emb_layers\.",
            "denoiser": r"unconditioned_embedding|conditioning_timestep_integrator\.|inp_block\."
            r"|integrating_conv\.|layers\.|out\.",
            "first-guess": r"mel_head\.",
            "layers": r"layers\.",
            "attention": r".*\.(qkv|proj_out|relative_pos_embeddings)\.",
            "feed-forward": r".*\.(in_layers\.2|emb_layers\.1|out_layers\.3)\.",
            "norms": r".*\.(norm|in_layers\.0|out_layers\.0)\.|code_norm\.|out\.0\.",
        },
        layer=r"layers\.([0-9]+)\.",
    ),
    "tortoise_dvae": Groups(patterns={"encoder": r"encoder\.", "decoder": r"decoder\."}),
}


def tensors_in(
    wanted: Sequence[str], names: Collection[str], family: str, *, key: str = MOVING
) -> frozenset[str]:
    """The names of the tensors in some groups together.

    Args:
        wanted: Groups, also with a range of layers.
        names: Of all tensors of the network.
        key: Of the recipe, for the message.

    Raises:
        RecipeError: There is no such group or layer.
    """
    return frozenset(name for group in wanted for name in _tensors_of(group, names, family, key))


def move_only(network: nn.Module, groups: Sequence[str], family: str) -> int:
    """Stop every parameter outside of the groups; how many go on learning.

    Raises:
        RecipeError: There is no such group or layer.
    """
    parameters = dict(network.named_parameters())
    moving = tensors_in(groups, parameters, family)
    for name, parameter in parameters.items():
        parameter.requires_grad_(name in moving)
    return len(moving)


def _tensors_of(group: str, names: Iterable[str], family: str, key: str) -> list[str]:
    known = _groups_of(family, key)
    parts = RANGE.fullmatch(group)
    name = parts["group"] if parts else group
    if name not in known.patterns:
        near = get_close_matches(name, known.patterns, n=1, cutoff=0.5)
        raise RecipeError(
            f"{key} names '{group}', which is no group of a {family}",
            expected=f"one of {', '.join(known.patterns)}",
            found=group,
            do=f"write {near[0]}" if near else None,
        )
    members = [each for each in names if re.match(known.patterns[name], each)]
    if not parts:
        return members
    numbers = {each: int(found[1]) for each in members if (found := re.match(known.layer, each))}
    first = int(parts["first"])
    last = int(parts["last"] or first)
    if not first <= last <= max(numbers.values(), default=-1):
        there = f"{name}.0 to {name}.{max(numbers.values())}" if numbers else f"{name}: it has no layers"
        raise RecipeError(f"{key} names '{group}', which no layers are", expected=there, found=group)
    return [each for each, number in numbers.items() if first <= number <= last]


def _groups_of(family: str, key: str) -> Groups:
    if family not in GROUPS:
        raise RecipeError(
            f"{key} is for networks of TorToiSe",
            expected=f"a {' or '.join(GROUPS)}",
            found=f"a {family}",
            do="leave it out; 'training.frozen' stops tensors by their names",
        )
    return GROUPS[family]

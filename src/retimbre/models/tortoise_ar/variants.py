"""The four programs that define this network, in one table: what each calls its sizes, and what it adds.

`tortoise` is tortoise-tts itself; the three others are DL-Art-School's, which trains it. Their tensors have
the same names and shapes. Only unified_voice3 and unified_voice4 have a third head, which neither inference
nor fine-tuning uses.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import torch
from torch import Tensor

from retimbre.errors import CheckpointError
from retimbre.models.family import Shapes
from retimbre.models.tortoise_ar.config import UnifiedVoiceConfig

VARIANTS: Final = ("tortoise", "unified_voice2", "unified_voice3", "unified_voice4")
ALIKE: Final = "tortoise / unified_voice2"  # nothing in a file tells them apart

# In all four: argument of the constructor -> our name for it.
ARGUMENTS: Final[Mapping[str, str]] = {
    "layers": "n_layers",
    "model_dim": "dim",
    "heads": "n_heads",
    "max_text_tokens": "max_symbols",
    "max_mel_tokens": "max_codes",
    "max_conditioning_inputs": "n_reserved_positions",
    "mel_length_compression": "samples_per_code",
    "start_text_token": "start_symbol",
    "number_mel_codes": "n_codes",
    "start_mel_token": "start_code",
    "stop_mel_token": "stop_code",
}
# Where they differ: a text is our name for it, None says that there is no such argument. What is no size of
# the network has the value of the class, or that which tortoise-tts itself or DL-Art-School's example gives.
# fmt: off
DIFFERENCES: Final[Mapping[str, tuple[str | int | bool | None, ...]]] = {
    #                          tortoise               unified_voice2         unified_voice3  unified_voice4
    "types":                  ("n_text_types",        None,                  "n_text_types", "n_text_types"),
    "stop_text_token":        (None,                  "stop_symbol",         None,           None),
    "train_solo_embeddings":  ("has_solo_embeddings", "has_solo_embeddings", None,           None),
    "use_mel_codes_as_input": (True,                  True,                  None,           None),
    "checkpointing":          (False,                 True,                  True,           True),
    "number_text_tokens":     ("n_per_type",          "n_symbols",           "n_per_type",   "n_per_type"),
    "average_conditioning_embeddings":           (None, False, None,  None),
    "freeze_everything_but_position_embeddings": (None, False, None,  None),
    "tortoise_compat":                           (None, True,  None,  None),
    "number_aligned_text_codes":                 (None, None,  256,   None),
    "freeze_for_aligned_codes":                  (None, None,  False, None),
    "only_alignment_head":                       (None, None,  None,  False),
}
# fmt: on
HEADS: Final[Mapping[str, tuple[str, int]]] = {  # name of the third head, and its rows
    "unified_voice3": ("aligned_head", 256),
    "unified_voice4": ("alignment_head", 256),
}


def variant_of(names: Iterable[str]) -> str:
    """Which of them wrote tensors of these names, by the third head."""
    present = set(names)
    for variant, (head, _) in HEADS.items():
        if present & {f"{head}.weight", f"{head}.bias"}:
            return variant
    return ALIKE


def told_by_head(shapes: Shapes) -> dict[str, int]:
    """Arguments of a variant that only its third head tells, as far as it is there."""
    shape = shapes.get("aligned_head.weight")
    return {"number_aligned_text_codes": shape[0]} if shape else {}


def kwargs_of(config: UnifiedVoiceConfig, variant: str = VARIANTS[0]) -> dict[str, Any]:
    """The arguments with which that program builds the network.

    Raises:
        CheckpointError: There is no such variant.
    """
    column = VARIANTS.index(known_variant(variant))
    kwargs = {theirs: getattr(config, ours) for theirs, ours in ARGUMENTS.items()}
    for name, values in DIFFERENCES.items():
        value = values[column]
        if value is not None:
            kwargs[name] = getattr(config, value) if isinstance(value, str) else value
    return kwargs


def head_of(variant: str, config: UnifiedVoiceConfig) -> dict[str, tuple[int, ...]]:
    """Name -> shape of the third head that the variant wants, if it wants one.

    Raises:
        CheckpointError: There is no such variant.
    """
    known = known_variant(variant)
    if known not in HEADS:
        return {}
    head, n_rows = HEADS[known]
    return {f"{head}.weight": (n_rows, config.dim), f"{head}.bias": (n_rows,)}


def with_head(tensors: Mapping[str, Tensor], variant: str, config: UnifiedVoiceConfig) -> dict[str, Tensor]:
    """The network's tensors as the variant reads them: with a fresh third head where it wants one.

    A new head has small random weights, as all new tables of this network, each time the same; and no bias.

    Raises:
        CheckpointError: There is no such variant.
    """
    like, random = tensors["text_head.weight"], torch.Generator().manual_seed(0)
    fresh = {
        name: like.new_zeros(shape)
        if name.endswith(".bias")
        else (torch.randn(shape, generator=random) * 0.02).to(like)
        for name, shape in head_of(variant, config).items()
    }
    return {**tensors, **fresh}


def known_variant(variant: str) -> str:
    """The variant by its name in `VARIANTS`; `ALIKE`, which `variant_of` gives, is tortoise.

    Raises:
        CheckpointError: There is no such variant.
    """
    name = VARIANTS[0] if variant == ALIKE else variant
    if name not in VARIANTS:
        raise CheckpointError(
            f"there is no variant '{variant}' of this network", expected=f"one of {', '.join(VARIANTS)}"
        )
    return name

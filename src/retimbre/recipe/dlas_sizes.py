"""Sizes that a DL-Art-School YAML states, beside those of the checkpoint that it begins from."""

from collections.abc import Callable, Mapping
from pathlib import Path

from retimbre.checkpoint.read import read
from retimbre.checkpoint.shapes import shapes_of
from retimbre.errors import CheckpointError
from retimbre.recipe.dlas_file import DlasFile
from retimbre.recipe.dlas_keys import SIZES

Shapes = Mapping[str, tuple[int, ...]]
UNTOLD = "the checkpoint's; no shape tells it, so Retimbre's own rule counts ('retimbre inspect' says it)"


def _axis(tensor: str, axis: int) -> Callable[[Shapes], int]:
    return lambda shapes: shapes[tensor][axis]


def _layers(tensor: str) -> Callable[[Shapes], int]:
    start, _, end = tensor.partition("{}")
    return lambda shapes: sum(name.startswith(start) and name.endswith(end) for name in shapes)


TOLD: Mapping[str, Mapping[str, Callable[[Shapes], int] | None]] = {
    "text-to-codes": {
        "layers": _layers("gpt.h.{}.ln_1.weight"),
        "model_dim": _axis("mel_embedding.weight", 1),
        "number_text_tokens": _axis("text_embedding.weight", 0),
        "number_mel_codes": _axis("mel_embedding.weight", 0),
        "max_text_tokens": lambda shapes: shapes["text_pos_embedding.emb.weight"][0] - 2,
        "max_mel_tokens": None,
        "max_conditioning_inputs": None,
        "heads": None,
    },
    "codes-to-spec": {
        "model_channels": _axis("inp_block.weight", 0),
        "num_layers": _layers("layers.{}.attn.norm.weight"),
        "in_channels": _axis("inp_block.weight", 1),
        "out_channels": _axis("out.2.weight", 0),
        "in_latent_channels": _axis("latent_conditioner.0.weight", 1),
        "in_tokens": _axis("code_embedding.weight", 0),
        "num_heads": None,
    },
}


def tell_sizes(file: DlasFile, stage: str, kwargs: str, base: Path) -> None:
    """Say of each size whether the checkpoint has it; where it has not, the checkpoint counts."""
    shapes = _shapes(base)
    for name, told in TOLD[stage].items():
        key, stated = f"{kwargs}.{name}", file.get(f"{kwargs}.{name}")
        if stated is None:
            continue
        found = _value(told, shapes) if told else None
        if shapes is None:
            file.tell("ignored", key, SIZES)
        elif found is None:
            file.tell("ignored", key, UNTOLD)
        elif found == stated:
            file.tell("the same here", key)
        else:
            file.tell("changed", key, f"{found}, as {base.name} has it: the checkpoint counts, not {stated}")


def _value(told: Callable[[Shapes], int], shapes: Shapes | None) -> int | None:
    try:
        return told(shapes or {}) or None
    except (KeyError, IndexError):
        return None


def _shapes(base: Path) -> Shapes | None:
    """None where there is no such file, or none that can be read: whoever trains will be told."""
    try:
        return shapes_of(read(base).tensors) if base.is_file() else None
    except CheckpointError:
        return None

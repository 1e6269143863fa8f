"""A checkpoint in another format: the same numbers under the names, and in the places, of another program."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

from torch import Tensor

from retimbre.checkpoint.keys import folded, older_weight_norm
from retimbre.checkpoint.read import read
from retimbre.checkpoint.write import write_torch
from retimbre.errors import CheckpointError
from retimbre.models.explain import Explained, explain
from retimbre.models.kept import kept_text
from retimbre.models.load import ENDING, load_model, save_tensors
from retimbre.models.tortoise_ar.variants import VARIANTS
from retimbre.pipelines.everyvoice_files import everyvoice_checkpoint
from retimbre.pipelines.export import explained
from retimbre.pipelines.hifigan_files import hears_otherwise, write_hifigan
from retimbre.pipelines.tortoise_files import head_in, heads_of_others, tortoise_checkpoint

Format = Literal["retimbre", "everyvoice", "hifigan", "tortoise", "onnx"]
WeightNorm = Literal["parametrized", "older", "folded"]
FORMATS: tuple[Format, ...] = get_args(Format)
ENDINGS: Mapping[str, Format] = {
    ENDING: "retimbre", ".ckpt": "everyvoice", ".pth": "tortoise", ".pt": "tortoise", ".onnx": "onnx",
    "": "hifigan",
}  # fmt: skip
KNOWS: Mapping[Format, tuple[str, ...]] = {  # families that a format can hold; ours holds all
    "everyvoice": ("fastspeech2", "hifigan"),
    "hifigan": ("hifigan",),
    "onnx": ("fastspeech2", "hifigan"),
}
WITH_NORM = ("hifigan", "univnet", "tortoise_hifigan")


@dataclass(frozen=True, kw_only=True)
class Wish:
    """How the new file should be.

    Args:
        to: Its format; None: as the ending of its name says.
        generator_only: Of a vocoder: without discriminators, to speak with.
        weight_norm: How a vocoder's weight norm is stored; None: as the program wants it that reads the file.
        variant: Of TorToiSe's autoregressive network: whose program reads the file.
        has_masks: Of the same: with the causal masks of older transformers.
    """

    to: Format | None = None
    generator_only: bool = False
    weight_norm: WeightNorm | None = None
    variant: str = VARIANTS[0]
    has_masks: bool = False


@dataclass(frozen=True, kw_only=True)
class Converted:
    """What was written.

    Args:
        remarks: What the reader should know: what was left out, assumed or measured.
    """

    files: tuple[Path, ...]
    to: Format
    remarks: tuple[str, ...] = field(default=())


def convert(
    file: Path, output: Path, wish: Wish | None = None, *, assume: Mapping[str, Any] | None = None
) -> Converted:
    """Write the model in `file` to `output` in another format.

    Args:
        output: A file, or for the original HiFi-GAN a folder.
        assume: Values that no tensor tells, by the names that 'retimbre inspect' gives.

    Raises:
        CheckpointError: the format cannot hold such a model, or the file would replace its own source.
    """
    wish = wish or Wish()
    to = wish.to or _format_of(output)
    if output.exists() and output.samefile(file):
        raise CheckpointError(f"{output} would replace what it is made of", do="give another --output")
    found = _explained(file, assume)
    _require_possible(found, to, wish)
    files, remarks = WRITERS[to](found, output, wish)
    written = _again(files[0]) if to != "onnx" else []
    return Converted(files=tuple(files), to=to, remarks=(*_remarks(found, to, wish), *remarks, *written))


def _format_of(output: Path) -> Format:
    if output.suffix not in ENDINGS:
        raise CheckpointError(
            f"the ending of {output.name} says no format",
            expected=", ".join(filter(None, ENDINGS)) + ", or the name of a folder",
            found=output.suffix,
            do=f"say it: --to {' | '.join(FORMATS)}",
        )
    return ENDINGS[output.suffix]


def _explained(file: Path, assume: Mapping[str, Any] | None) -> Explained:
    return explained(file) if not assume else explain(read(file), stated=assume)


def _require_possible(found: Explained, to: Format, wish: Wish) -> None:
    family, name = found.family.name, found.contents.path.name
    can = KNOWS.get(to, (family,))
    if family not in can or (to == "tortoise" and not family.startswith(("tortoise_", "univnet"))):
        raise CheckpointError(
            f"{name} cannot be written for {to}",
            expected=" or ".join(KNOWS.get(to, ("a model of TorToiSe",))),
            found=f"{family} ({found.family.stage})",
            do="choose another --to",
        )
    if wish.weight_norm and family not in WITH_NORM:
        raise CheckpointError(
            f"{name} has no weight norm",
            found=f"{family} ({found.family.stage})",
            do="leave --weight-norm out",
        )
    if wish.generator_only and family != "hifigan":
        raise CheckpointError(
            f"{name} has no generator", expected="a vocoder", found=family, do="leave --part out"
        )


def _to_retimbre(found: Explained, output: Path, wish: Wish) -> tuple[list[Path], list[str]]:
    judges = {} if wish.generator_only else found.discriminators()
    weights = _spelt(found.weights(), wish.weight_norm)
    description = found.description
    if found.family.name == "hifigan":
        description = replace(description, is_exported=not judges)
    tensors = {**weights, **judges, **heads_of_others(found)}
    path = save_tensors(output, tensors, description, kept_text(found.contents))
    return [path, path.with_suffix(".json")], []


def _spelt(tensors: dict[str, Tensor], weight_norm: WeightNorm | None) -> dict[str, Tensor]:
    """Our names, which are those of torch 2, with the weight norm in another spelling."""
    if weight_norm == "older":
        return older_weight_norm(tensors)
    return folded(tensors) if weight_norm == "folded" else tensors


def _to_everyvoice(found: Explained, output: Path, wish: Wish) -> tuple[list[Path], list[str]]:
    content = everyvoice_checkpoint(found, generator_only=wish.generator_only)
    content["state_dict"] = _spelt(content["state_dict"], wish.weight_norm)
    write_torch(output, content)
    return [output], [] if wish.generator_only else ["optimisers begin anew; EveryVoice keeps the weights"]


def _to_hifigan(found: Explained, output: Path, wish: Wish) -> tuple[list[Path], list[str]]:
    if wish.weight_norm == "parametrized":
        raise CheckpointError(
            "the original HiFi-GAN reads no such weight norm",
            expected="older or folded",
            found="parametrized",
        )
    files = write_hifigan(found, output, is_folded=wish.weight_norm == "folded")
    warning = hears_otherwise(found)
    return files, [warning] if warning else []


def _to_tortoise(found: Explained, output: Path, wish: Wish) -> tuple[list[Path], list[str]]:
    if wish.weight_norm == "parametrized":
        raise CheckpointError(
            "TorToiSe reads no such weight norm", expected="older or folded", found="parametrized"
        )
    content = tortoise_checkpoint(
        found, variant=wish.variant, has_masks=wish.has_masks, is_folded=wish.weight_norm == "folded"
    )
    write_torch(output, content)
    return [output], []


def _to_onnx(found: Explained, output: Path, wish: Wish) -> tuple[list[Path], list[str]]:
    from retimbre.pipelines.onnx_files import write_onnx

    difference = write_onnx(load_model(found.contents.path), output)
    return [output], [difference.to_text()]


WRITERS: Mapping[Format, Callable[[Explained, Path, Wish], tuple[list[Path], list[str]]]] = {
    "retimbre": _to_retimbre,
    "everyvoice": _to_everyvoice,
    "hifigan": _to_hifigan,
    "tortoise": _to_tortoise,
    "onnx": _to_onnx,
}


def _remarks(found: Explained, to: Format, wish: Wish) -> list[str]:
    assumed = [f"assumed: {assumption}" for assumption in found.description.assumed]
    heads = heads_of_others(found) if to == "retimbre" else {}
    if to == "tortoise" and found.family.name == "tortoise_ar":
        heads = head_in(found, wish.variant)
    counted = Counter(why for name, why in found.dropped.items() if not name.endswith(tuple(heads) or " "))
    return [*assumed, *(f"left out {n} tensors: {why}" for why, n in counted.items())]


def _again(path: Path) -> list[str]:
    """What was written is read again, as any reader would."""
    found = explained(path)
    return [f"read again: {found.family.name}, {len(found.outline)} tensors"]

"""A checkpoint in another format: the same numbers under the names, and in the places, of another program."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

from torch import Tensor

from retimbre.audio.mel import spec_type
from retimbre.checkpoint import stable_embedding, weight_norm
from retimbre.checkpoint.keys import folded, older_weight_norm
from retimbre.checkpoint.safetensors_files import parts_of
from retimbre.checkpoint.write import staged, write_torch
from retimbre.errors import CheckpointError
from retimbre.models.adapted import adapted
from retimbre.models.adapter import Adapter
from retimbre.models.explain import Explained, explain_file
from retimbre.models.kept import kept_text
from retimbre.models.load import ENDING, loaded, save_tensors
from retimbre.models.origin import ORIGINAL_HIFIGAN
from retimbre.models.tortoise_ar.variants import VARIANTS
from retimbre.pipelines.everyvoice_files import everyvoice_checkpoint
from retimbre.pipelines.hifigan_files import CONFIG, hears_otherwise, hifigan_names, write_hifigan
from retimbre.pipelines.tortoise_files import (
    described_beside,
    fresh_head,
    has_story,
    head_in,
    heads_of_others,
    tortoise_checkpoint,
    write_story,
)

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
    "tortoise": (
        "tortoise_ar", "tortoise_dvae", "tortoise_diffusion", "tortoise_clvp", "tortoise_cvvp",
        "tortoise_random_latent", "tortoise_hifigan", "univnet",
    ),
    "onnx": ("fastspeech2", "hifigan"),
}  # fmt: skip
ANEW = "left out the states of optimisers: a training from this file begins with new ones"
WITH_NORM = ("hifigan", "univnet", "tortoise_hifigan")
SPELLINGS: Mapping[Format, tuple[WeightNorm, ...]] = {  # of weight norm, as the programs load it strictly
    "retimbre": get_args(WeightNorm),
    "everyvoice": ("parametrized", "older"),
    "hifigan": ("older", "folded"),
    "tortoise": ("older", "folded"),
    "onnx": (),
}


@dataclass(frozen=True, kw_only=True)
class Wish:
    """How the new file should be.

    Args:
        to: Its format; None: as the ending of its name says.
        generator_only: Of a vocoder: without discriminators, to speak with.
        weight_norm: How a vocoder's weight norm is stored; None: as the program wants it that reads the file.
        variant: Of TorToiSe's autoregressive network: whose program reads the file.
        has_masks: Of the same: with the causal masks of older transformers.
        assume: Values that no tensor tells, by the names that 'retimbre inspect' gives.
        adapters: What is folded into the weights, one after another, from `read_adapter`.
    """

    to: Format | None = None
    generator_only: bool = False
    weight_norm: WeightNorm | None = None
    variant: str = VARIANTS[0]
    has_masks: bool = False
    assume: Mapping[str, Any] = field(default_factory=dict)
    adapters: tuple[Adapter, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Converted:
    """What was written.

    Args:
        remarks: What the reader should know: what was left out, assumed or measured.
    """

    files: tuple[Path, ...]
    to: Format
    remarks: tuple[str, ...] = ()


def convert(file: Path, output: Path, wish: Wish | None = None) -> Converted:
    """Write the model in `file` to `output` in another format.

    Nothing is replaced before the new files are whole and were read again.

    Args:
        output: A file, or for the original HiFi-GAN a folder.

    Raises:
        CheckpointError: the format cannot hold such a model, it is not the base of an adapter, or a file
            would replace its own source.
    """
    wish = wish or Wish()
    to = wish.to or _format_of(output)
    found = adapted(explain_file(file, stated=wish.assume), wish.adapters)
    _require_possible(found, to, wish)
    targets = _targets(found, output, to)
    _require_free(found, targets)
    with staged(targets[0].parent) as aside:
        written, remarks = WRITERS[to](found, aside / targets[0].name, wish)
        _require_no_others(targets, written)
        if to != "onnx":
            remarks = [*remarks, _again(written[0])]
    files = tuple(path for path in targets if path.name in {each.name for each in written})
    return Converted(files=files, to=to, remarks=(*_remarks(found, to, wish), *remarks))


def _format_of(output: Path) -> Format:
    ending = "" if output.is_dir() else output.suffix
    if ending not in ENDINGS:
        raise CheckpointError(
            f"the ending of {output.name} says no format",
            expected=", ".join(filter(None, ENDINGS)) + ", or the name of a folder",
            found=ending,
            do=f"say it: --to {' | '.join(FORMATS)}",
        )
    return ENDINGS[ending]


def _require_possible(found: Explained, to: Format, wish: Wish) -> None:
    family, name = found.family.name, found.contents.path.name
    is_reader = family == "tortoise_ar" and to == "tortoise"
    refusals = (
        (family not in KNOWS.get(to, (family,)), f"cannot be written for {to}",
         " or ".join(KNOWS.get(to, ())), f"choose another --to, or another ending of --output than {to}'s"),
        (wish.weight_norm and family not in WITH_NORM, "has no weight norm", None,
         "leave --weight-norm out"),
        (wish.weight_norm and wish.weight_norm not in SPELLINGS[to],
         f"cannot be written for {to} with its weight norm {wish.weight_norm}",
         " or ".join(SPELLINGS[to]) or "none: it has no weight norm", "leave --weight-norm out"),
        (wish.generator_only and not found.family.opponents, "has no generator", "a vocoder",
         "leave --part out"),
        ((wish.has_masks or wish.variant != VARIANTS[0]) and not is_reader, "has neither variants nor masks",
         "an autoregressive network, for tortoise", "leave --variant and --masks out"),
    )  # fmt: skip
    for is_wrong, what, expected, do in refusals:
        if is_wrong:
            asked = f"{family} ({found.family.stage}), for {to}"
            raise CheckpointError(f"{name} {what}", expected=expected, found=asked, do=do)


def _targets(found: Explained, output: Path, to: Format) -> list[Path]:
    """The files that may be written; the one with the weights first."""
    if to == "hifigan":
        if output.exists() and not output.is_dir():
            raise CheckpointError(
                f"{output} is a file", expected="a folder for several files", do="give another --output"
            )
        return [output / name for name in hifigan_names(found)]
    if to == "retimbre":
        named = output if output.suffix == ENDING else output.with_name(output.name + ENDING)
        return [named, named.with_suffix(".json")]
    return [output, described_beside(output)] if to == "tortoise" and has_story(found) else [output]


def _require_free(found: Explained, targets: list[Path]) -> None:
    """Nothing that is read may be written over, and no folder can be."""
    path = found.contents.path
    sources = [path, *([found.companion] if found.companion else [])]
    sources += [path.with_name(CONFIG)] if found.written_by == ORIGINAL_HIFIGAN else []
    sources += parts_of(path) if path.suffix == ".json" else []
    sources += [adapter.path for adapter in found.adapters]
    for target in targets:
        if target.is_dir():
            raise CheckpointError(f"{target} is a folder", expected="the name of a file to write")
        if any(source.exists() and target.exists() and target.samefile(source) for source in sources):
            raise CheckpointError(f"{target} would replace what it is made of", do="give another --output")


def _require_no_others(targets: list[Path], written: list[Path]) -> None:
    """Discriminators of another generator must not stay beside a new one: they would be taken for its own."""
    left = [path for path in targets if path.name not in {each.name for each in written} and path.exists()]
    if left:
        raise CheckpointError(
            f"{left[0]} would stay, and belongs to another generator", do="give another --output"
        )


def _to_retimbre(found: Explained, output: Path, wish: Wish) -> tuple[list[Path], list[str]]:
    judges = {} if wish.generator_only else found.discriminators()
    weights = _spelt(found.weights(), wish.weight_norm)
    description = found.description
    if found.family.name == "hifigan":
        description = replace(description, is_exported=not judges)
    tensors = {**weights, **judges, **heads_of_others(found)}
    path = save_tensors(output, tensors, description, kept_text(found))
    return [path, path.with_suffix(".json")], []


def _spelt(tensors: dict[str, Tensor], spelling: WeightNorm | None) -> dict[str, Tensor]:
    """Our names, which are those of torch 2, with the weight norm in another spelling."""
    if spelling == "older":
        return older_weight_norm(tensors)
    return folded(tensors) if spelling == "folded" else tensors


def _to_everyvoice(found: Explained, output: Path, wish: Wish) -> tuple[list[Path], list[str]]:
    content = everyvoice_checkpoint(found, generator_only=wish.generator_only, takes_shifted=True)
    content["state_dict"] = _spelt(content["state_dict"], wish.weight_norm)
    write_torch(output, content)
    is_shifted = spec_type(found.description.output_mel) == "mel-hifigan"
    said = ["EveryVoice's spectrogram lies half a hop earlier: the sound comes as much later"] * is_shifted
    return [output], [*said, *([] if wish.generator_only else [ANEW])]


def _to_hifigan(found: Explained, output: Path, wish: Wish) -> tuple[list[Path], list[str]]:
    files = write_hifigan(
        found,
        output.parent,
        generator_only=wish.generator_only,
        is_folded=wish.weight_norm == "folded",
    )
    said = [hears_otherwise(found), ANEW if len(files) == len(hifigan_names(found)) else None]
    return files, list(filter(None, said))


def _to_tortoise(found: Explained, output: Path, wish: Wish) -> tuple[list[Path], list[str]]:
    content = tortoise_checkpoint(
        found, variant=wish.variant, has_masks=wish.has_masks, is_folded=wish.weight_norm == "folded"
    )
    write_torch(output, content)
    files = [output, write_story(found, output)] if has_story(found) else [output]
    new = fresh_head(found, wish.variant)
    return files, [new] if new else []


def _to_onnx(found: Explained, output: Path, wish: Wish) -> tuple[list[Path], list[str]]:
    from retimbre.pipelines.onnx_files import write_onnx

    return [output], [write_onnx(loaded(found), output).to_text()]


WRITERS: Mapping[Format, Callable[[Explained, Path, Wish], tuple[list[Path], list[str]]]] = {
    "retimbre": _to_retimbre,
    "everyvoice": _to_everyvoice,
    "hifigan": _to_hifigan,
    "tortoise": _to_tortoise,
    "onnx": _to_onnx,
}


def _remarks(found: Explained, to: Format, wish: Wish) -> list[str]:
    """What had to be assumed, what is not as it was, and what is no longer there."""
    assumed = [f"assumed: {assumption}" for assumption in found.description.assumed]
    said = (stable_embedding.WHY, *([] if wish.weight_norm == "folded" else [weight_norm.SPLIT]))
    changed = Counter(why for entry in found.entries for why in said if why in entry.why)
    heads = heads_of_others(found) if to == "retimbre" else {}
    if to == "tortoise" and found.family.name == "tortoise_ar":
        heads = head_in(found, wish.variant)
    left_out = Counter(why for name, why in found.dropped.items() if not name.endswith(tuple(heads) or " "))
    return [
        *assumed,
        *(f"folded in: {adapter.path.name} × {adapter.strength:g}" for adapter in found.adapters),
        *(f"changed {n} tensors: {why}" for why, n in changed.items()),
        *(f"left out {n} tensors: {why}" for why, n in left_out.items()),
    ]


def _again(path: Path) -> str:
    """What was written is read again, as any reader would."""
    found = explain_file(path)
    return f"read again: {found.family.name}, {len(found.outline)} tensors"

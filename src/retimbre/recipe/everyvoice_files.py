"""The files of an EveryVoice project as one set of values that remembers where each was written."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel

from retimbre.errors import RecipeError
from retimbre.recipe.everyvoice_schema import RENAMED, SpecToWav, TextToSpec
from retimbre.recipe.files import read_values
from retimbre.recipe.mistakes import is_overridden, known_words, line_of, section_in
from retimbre.recipe.overrides import apply_override, split_override
from retimbre.recipe.recipe import Recipe, Stage

SCHEMAS: Mapping[Stage, type[TextToSpec] | type[SpecToWav]] = {
    "text-to-spec": TextToSpec,
    "spec-to-wav": SpecToWav,
}
PARTS: Mapping[tuple[str, ...], tuple[str, ...]] = {
    (): ("model", "training", "preprocessing", "text"),
    ("preprocessing",): ("audio",),
}
PATHS = {
    *("save_dir", "data_dir", "filelist", "training_filelist", "validation_filelist", "vocoder_path"),
    *("finetune_checkpoint", "finetune_ckpt", "base", "runs", "recordings", "preprocessed", "adopted"),
}
Kind = Literal["model", "shared", "aligner", "text-to-wav"]
# Keys that only one kind of EveryVoice's files has at its top level, or that none of our recipes has.
ROOT_KEYS: Mapping[Kind, frozenset[str]] = {
    "text-to-wav": frozenset({"pretrained", "feature_prediction", "vocoder", "aligner"}),
    "shared": frozenset({"source_data", "save_dir", "dataset", "train_split", "symbols", "cleaners"}),
    "model": frozenset({"VERSION", "model", "preprocessing", "path_to_text_config_file"})
    | {f"path_to_{name}_config_file" for name in PARTS[()]},
}
OUR_KEYS = frozenset({"stage", "name", "runs", "base", "data", "text_to_spec", "spec_to_wav"})
ALIGNER_KEYS = frozenset(
    {"lstm_dim", "conv_dim", "binned_sampler", "plot_steps", "extraction_method"}
)  # in its model and training
STYLE_TTS2_KEYS = frozenset({"diffusion", "slm", "style_dim", "max_dur", "epochs_1st", "slmadv"})


@dataclass(frozen=True)
class Place:
    """A file in which a part of the values was written.

    Args:
        n_above: How many of a key path's first names are not in that file.
    """

    path: Path
    text: str
    n_above: int = 0


@dataclass(frozen=True, kw_only=True)
class Merged:
    """All values of one model's configuration.

    Args:
        overridden: Keys of EveryVoice's whose values come from the command line.
        own_overrides: What was given on the command line in a recipe's own words instead.
    """

    path: Path
    stage: Stage
    values: dict[str, Any]
    places: Mapping[tuple[str, ...], Place]
    overridden: tuple[str, ...] = ()
    own_overrides: tuple[str, ...] = ()

    def where(self, key: str | Sequence[str]) -> str:
        """File and line, or the command line, where a key was given; the nearest section if it was not."""
        names = tuple(key.split(".")) if isinstance(key, str) else tuple(key)
        if is_overridden(".".join(names), self.overridden):
            return f"'-c {'.'.join(names)}'"
        nearest = max((at for at in self.places if names[: len(at)] == at), key=len)
        place = self.places[nearest]
        line = line_of(names[place.n_above :], place.text)
        return f"{place.path}{f', line {line}' if line else ''}"


def kind_of(raw: Mapping[str, Any]) -> Kind | None:
    """Which of EveryVoice's files this is; None if it is none of them."""
    keys = set(raw)
    if keys & OUR_KEYS:
        return None
    inner = {key for name in ("model", "training") for key in _section(raw, name)}
    if inner & STYLE_TTS2_KEYS or keys & ROOT_KEYS["text-to-wav"]:
        return "text-to-wav"
    if inner & ALIGNER_KEYS:
        return "aligner"
    return next((kind for kind in ("model", "shared") if keys & ROOT_KEYS[kind]), None)


def read_project(path: Path, overrides: Iterable[str]) -> Merged:
    """The values of a model's file and of the files that it refers to, with `overrides` on top.

    Paths to other files and in `-c` are put in place here; others stay as written, seen from `path`'s folder.
    """
    raw, text = read_values(path)
    _require_model(path, raw)
    given = tuple(overrides)
    overridden = [_override(raw, one, path) for one in given if _is_path_to_file(one)]
    places: dict[tuple[str, ...], Place] = {(): Place(path, text)}
    values = _with_parts(raw, (), path, places, overridden)
    _require_model(path, values)
    stage = _stage_of(path, values)
    own: list[str] = []
    for one in given:
        if _is_path_to_file(one):
            continue
        if _is_ours(split_override(one)[0], stage):
            own.append(one)
        else:
            overridden.append(_override(values, one, path))
    _rename(values, path)
    return Merged(
        path=path,
        stage=stage,
        values=values,
        places=places,
        overridden=tuple(overridden),
        own_overrides=tuple(own),
    )


def placed(key: str, value: Any, folder: Path) -> Any:  # noqa: ANN401 - a value may be anything
    """A path from the command line is seen from the current folder, or else from `folder`."""
    if isinstance(value, dict):
        return {name: placed(name, one, folder) for name, one in value.items()}
    last = key.rpartition(".")[2]
    if not isinstance(value, str) or (last not in PATHS and not last.startswith("path_to_")):
        return value
    here, there = Path.cwd() / value, folder / value
    return str(there if there.exists() and not here.exists() else here)


def _override(values: dict[str, Any], override: str, path: Path) -> str:
    folder = path.parent.resolve()
    return apply_override(values, override, place=lambda key, value: placed(key, value, folder))


def _is_path_to_file(override: str) -> bool:
    return split_override(override)[0].rpartition(".")[2].startswith("path_to_")


def _is_ours(key: str, stage: Stage) -> bool:
    """Is it a word of our recipes that EveryVoice does not have?"""
    return not _is_known(SCHEMAS[stage], key) and _is_known(Recipe, key)


def _is_known(model: type[BaseModel], key: str) -> bool:
    section: type[BaseModel] | None = model
    for name in key.split("."):
        if section is None or section.model_config.get("extra") == "allow":
            return True  # inside a value that may have any words
        if name.isdecimal():
            continue  # the place in a list whose sections are all alike
        if name not in section.model_fields:
            return False
        section = section_in(section.model_fields[name].annotation)
    return True


def _with_parts(
    section: dict[str, Any],
    at: tuple[str, ...],
    main: Path,
    places: dict[tuple[str, ...], Place],
    overridden: Sequence[str],
) -> dict[str, Any]:
    """The section with the files that it refers to; what it says itself wins, key by key."""
    merged = dict(section)
    for name in PARTS.get(at, ()):
        here = (*at, name)
        key = f"path_to_{name}_config_file"
        inline = merged.get(name)
        if merged.get(key):
            path = _require_file(merged[key], (*at, key), main, places, overridden)
            part, text = read_values(path)
            if isinstance(inline, dict):
                around = places[max((p for p in places if here[: len(p)] == p), key=len)]
                places |= {(*here, word): around for word in inline}
            places[here] = Place(path, text, n_above=len(here))
            merged[name] = part | inline if isinstance(inline, dict) else part
        if isinstance(merged.get(name), dict):
            merged[name] = _with_parts(merged[name], here, main, places, overridden)
    return merged


def _require_file(
    value: Any,  # noqa: ANN401 - a file may hold anything
    names: tuple[str, ...],
    main: Path,
    places: Mapping[tuple[str, ...], Place],
    overridden: Sequence[str],
) -> Path:
    # As in EveryVoice, paths inside a part are seen from the folder of the file that everything began with.
    folder = main.parent.resolve()
    path = folder / str(value)
    if path.is_file():
        return path.resolve()
    known = Merged(
        path=main, stage="text-to-spec", values={}, places=places, overridden=tuple(overridden)
    ).where(names)
    raise RecipeError(
        f"{known}: '{'.'.join(names)}' names a file that is not there",
        found=str(path),
        do=f"correct it: it is seen from {folder}",
    )


def _rename(values: dict[str, Any], path: Path) -> None:
    """Give keys that had other names in earlier versions their name of today."""
    for (*parents, old), new in RENAMED.items():
        section: Any = values
        for name in parents:
            section = section.get(name) if isinstance(section, dict) else None
        if not isinstance(section, dict) or old not in section:
            continue
        value = section.pop(old)
        if section.get(new) not in (None, value):
            raise RecipeError(
                f"{path}: '{'.'.join(parents)}' has '{old}' and '{new}', which is its name of today",
                found=f"{value} and {section[new]}",
                do=f"take '{old}' out",
            )
        section[new] = value


def _require_model(path: Path, raw: Mapping[str, Any]) -> None:
    kind = kind_of(raw)
    if kind == "shared":
        raise RecipeError(
            f"{path} is what several models of an EveryVoice project share",
            expected="the file of one model",
            do="give everyvoice-text-to-spec.yaml or everyvoice-spec-to-wav.yaml",
        )
    if kind in ("aligner", "text-to-wav"):
        what = "aligner" if kind == "aligner" else "text-to-wav model"
        raise RecipeError(
            f"{path} is for EveryVoice's {what}, which Retimbre does not train",
            expected="the file of text-to-spec or of spec-to-wav",
            do="give everyvoice-text-to-spec.yaml or everyvoice-spec-to-wav.yaml",
        )


def _stage_of(path: Path, values: Mapping[str, Any]) -> Stage:
    """The stage whose own words there are; where there are none, the one that the file is named after."""
    words: dict[Stage, int] = {}
    for stage in SCHEMAS:
        other = SCHEMAS["spec-to-wav" if stage == "text-to-spec" else "text-to-spec"]
        words[stage] = sum(
            key in set(known_words(SCHEMAS[stage], parents)) - set(known_words(other, parents))
            for parents in ((), ("model",), ("training",))
            for key in (_section(values, parents[0]) if parents else values)
        )
    if words["text-to-spec"] != words["spec-to-wav"]:
        return max(SCHEMAS, key=lambda stage: words[stage])
    named = [stage for stage in SCHEMAS if stage in path.name]
    if len(named) == 1:
        return named[0]
    raise RecipeError(
        f"{path} does not say which model it is for",
        expected="words of text-to-spec or of spec-to-wav",
        do="name the file everyvoice-text-to-spec.yaml or everyvoice-spec-to-wav.yaml",
    )


def _section(values: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    section = values.get(name)
    return section if isinstance(section, Mapping) else {}

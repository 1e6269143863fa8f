"""EveryVoice's data section and loggers -> which recordings, which split, and where results go."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retimbre.audio.effects import effect_of
from retimbre.errors import RecipeError
from retimbre.recipe.everyvoice_files import Merged
from retimbre.recipe.everyvoice_names import FILELIST_LOADERS, SUB_FOLDERS
from retimbre.recipe.everyvoice_places import run_name, runs_beside
from retimbre.recipe.everyvoice_schema import Dataset, Preprocessing, SpecToWavTraining, Training

FEATURES = ("audio", "spec", "pitch", "energy", "synthesized_spec", "duration")
SHORTEST_S = 0.001  # where a file says 0: no limit


@dataclass(frozen=True, kw_only=True)
class Lists:
    """The lists of EveryVoice's own split."""

    training: Path
    validation: Path


def folder_of(merged: Merged) -> Path:
    """What relative paths in the files are seen from."""
    return merged.path.parent.resolve()


def lists_of(training: Training, merged: Merged, notes: list[str]) -> Lists | None:
    """EveryVoice's own split, if its preprocessing has made one."""
    FILELIST_LOADERS.meaning(training.filelist_loader, merged.where("training.filelist_loader"))
    folder = folder_of(merged)
    given = {name: getattr(training, name) for name in ("training_filelist", "validation_filelist")}
    paths = {name: (folder / path).resolve() for name, path in given.items() if path}
    there = {name: path for name, path in paths.items() if path.is_file()}
    if len(there) == 1:
        missing = next(name for name in given if name not in there)
        raise RecipeError(
            f"{merged.where(f'training.{missing}')}: 'training.{missing}' is not there, its counterpart is",
            expected="both lists of the split, or none of them",
            found=f"no {paths[missing]}" if missing in paths else "no value",
            do=f"correct it (it is seen from {folder})",
        )
    if not there:
        notes.append(
            "training_filelist and validation_filelist do not exist yet: the split is made by lot, with the "
            "shares of train_split, but not the same lot as EveryVoice's"
        )
        return None
    return Lists(training=there["training_filelist"], validation=there["validation_filelist"])


def steps_per_epoch(
    data: Preprocessing, training: Training, lists: Lists | None, merged: Merged, notes: list[str]
) -> int | None:
    """Steps in which EveryVoice sees all training utterances once; None if it cannot be known.

    It leaves the last, smaller batch of an epoch out.
    """
    if lists:
        return max(1, _count(lists.training) // training.batch_size)
    given = [(folder_of(merged) / one.filelist).resolve() for one in data.source_data if one.filelist]
    if not given or not all(path.is_file() for path in given):
        return None
    n_training = int(sum(map(_count, given)) * data.train_split)
    notes.append(f"epochs are counted as if all of about {n_training:,} training utterances could be used")
    return max(1, n_training // training.batch_size)


def data_values(
    data: Preprocessing, lists: Lists | None, runs: Path, merged: Merged, notes: list[str]
) -> dict[str, Any]:
    """The keys of our section `data`."""
    sets = [_set_values(one, index, merged, notes) for index, one in enumerate(data.source_data)]
    if not sets:
        raise RecipeError(
            f"{merged.where('preprocessing')}: 'preprocessing.source_data' is missing",
            expected="at least one set of recordings with data_dir and filelist",
            do="add it to everyvoice-shared-data.yaml",
        )
    values: dict[str, Any] = {
        **sets[0],
        "more": sets[1:],
        "preprocessed": str(_features_folder(data, runs, merged)),
        "adopted": _adopted(data, merged, notes),
        "seed": data.dataset_split_seed,
        "min_duration_s": max(data.audio.min_audio_length, SHORTEST_S),
        "max_duration_s": data.audio.max_audio_length,
    }
    if lists:
        values |= {"training_filelist": str(lists.training), "validation_filelist": str(lists.validation)}
        return values
    return values | _shares(data.train_split, merged)


def place_values(training: Training, merged: Merged) -> dict[str, str]:
    """The keys `name` and `runs`: our own folder beside EveryVoice's logs, so that nothing of its changes.

    Where EveryVoice would go on in the folder of the vocoder that it matches, a run of its own is made.
    """
    logger = training.logger
    SUB_FOLDERS.meaning(logger.sub_dir_callable, merged.where("training.logger.sub_dir_callable"))
    is_matched = isinstance(training, SpecToWavTraining) and training.finetune
    runs = runs_beside((folder_of(merged) / logger.save_dir).resolve())
    return {"name": run_name(logger.name, logger.version, is_matched=is_matched), "runs": str(runs)}


def note_of_place(values: Mapping[str, Any]) -> str:
    """Where the results of a recipe go."""
    run = Path(values["runs"]) / values["name"]
    there = (
        ", where a run is already: go on with it by --resume, or give -c training.logger.version=…"
        if run.exists()
        else ""
    )
    return f"results go to {run}{there}; nothing that EveryVoice wrote is changed"


def _set_values(one: Dataset, index: int, merged: Merged, notes: list[str]) -> dict[str, Any]:
    key = f"preprocessing.source_data.{index}"
    if not one.permissions_obtained:
        raise RecipeError(
            f"{merged.where(f'{key}.permissions_obtained')}: there is no permission to use '{one.label}'",
            expected="permissions_obtained: true, once whoever is recorded has agreed",
            found="false",
            do="ask for it, then write 'permissions_obtained: true'",
        )
    if one.data_dir is None or one.filelist is None:
        missing = "data_dir" if one.data_dir is None else "filelist"
        raise RecipeError(
            f"{merged.where(key)}: '{key}.{missing}' is missing", do=f"add '{missing}: …' to '{one.label}'"
        )
    folder = folder_of(merged)
    return {
        "label": one.label,
        "recordings": str((folder / one.data_dir).resolve()),
        "filelist": str((folder / one.filelist).resolve()),
        "filelist_format": FILELIST_LOADERS.meaning(
            one.filelist_loader, merged.where(f"{key}.filelist_loader")
        ),
        "trims_silence": False,
        "effects": _effects(one, notes),
    }


def _effects(one: Dataset, notes: list[str]) -> list[str]:
    """What SoX was to do, in its order; what there is not here is named."""
    known = []
    for words in one.sox_effects:
        effect = " ".join(words)
        try:
            effect_of(effect)
        except ValueError as error:
            notes.append(f"{one.label}: this effect is not applied (sox: {effect}); known is {error}")
        else:
            known.append(effect)
    return known


def _adopted(data: Preprocessing, merged: Merged, notes: list[str]) -> str | None:
    save_dir = (folder_of(merged) / data.save_dir).resolve()
    found = [name for name in FEATURES if (save_dir / name).is_dir()]
    if not found:
        notes.append(f"save_dir: nothing is prepared in {save_dir} yet")
        return None
    notes.append(f"EveryVoice's {', '.join(found)} in {save_dir} are only read, never written to")
    return str(save_dir)


def _features_folder(data: Preprocessing, runs: Path, merged: Merged) -> Path:
    """A folder of our own: EveryVoice's keeps normalised values under the same names."""
    return runs / (folder_of(merged) / data.save_dir).resolve().name


def _shares(train_split: float, merged: Merged) -> dict[str, float]:
    """What is not trained on chooses weights by one half and measures by the other."""
    if train_split in (0.0, 1.0):
        place = merged.where("preprocessing.train_split")
        raise RecipeError(
            f"{place}: a train_split of {train_split:g} leaves a side empty",
            expected="a share between 0 and 1",
            do="write 'train_split: 0.9'",
        )
    half = (1 - train_split) / 2
    return {"held_out_fraction": round(half, 6), "validation_fraction": round(half / (1 - half), 6)}


def _count(path: Path) -> int:
    """Lines of a list without its header."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file, delimiter="|", quoting=csv.QUOTE_NONE, escapechar="\\")
            return max(sum(any(row) for row in rows) - 1, 0)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise RecipeError(f"{path} cannot be read as a list", found=str(error)) from error

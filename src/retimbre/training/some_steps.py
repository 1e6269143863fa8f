"""Preparing as it is asked for on the command line: some steps only, or a few utterances to try."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from retimbre.data.manifest import read_filelist, write_filelist
from retimbre.data.one_utterance import STEPS
from retimbre.data.prepare import prepare_sets
from retimbre.errors import RecipeError
from retimbre.jobs.listener import Listener
from retimbre.models.load import load_model
from retimbre.recipe.recipe import DataSet, Recipe
from retimbre.training.listed import lists_in, recordings_of
from retimbre.training.material import output_mel_of, prepare_material, prepared_in, spectrogram_of
from retimbre.training.tortoise_build import is_tortoise
from retimbre.training.tortoise_material import prepare_tortoise
from retimbre.training.tortoise_training_files import files_of

ON_THE_FLY = {  # steps of EveryVoice -> when what they write is made here
    "attn": "the alignment prior is computed when training needs it",
    "text": "texts become symbols when they are read",
    "pfs": "phonological features are looked up when a text is read",
}
N_TRIED = 10  # utterances of each data set


def prepare_as_asked(
    recipe: Recipe,
    *,
    steps: Sequence[str],
    is_tried: bool,
    is_overwritten: bool,
    n_workers: int | None,
    listener: Listener,
) -> Path:
    """Prepare what a recipe trains on; the folder where it is.

    Args:
        steps: Some of ours or of EveryVoice's, in any order; none means all.
        is_tried: Only the first utterances of each data set.

    Raises:
        RecipeError: if there is no such step.
    """
    if is_tortoise(recipe):
        return _prepare_tortoise(recipe, steps, is_tried, is_overwritten, n_workers, listener)
    ours = _ours(steps, listener)
    if not ours:
        return prepared_in(recipe, load_model(recipe.base) if recipe.base else None)[0].root
    with tempfile.TemporaryDirectory() as folder:
        recipe = _first_of_each(recipe, Path(folder), listener) if is_tried else recipe
        if ours == STEPS:
            material = prepare_material(
                recipe, listener=listener, is_overwritten=is_overwritten, n_workers=n_workers
            )
            return material.store.root
        base = load_model(recipe.base) if recipe.base else None
        described = base.description if base else None
        mel = described.mel if described else spectrogram_of(recipe.spectrogram)
        store, sets = prepared_in(recipe, base)
        prepare_sets(
            sets,
            store,
            mel=mel,
            output_mel=output_mel_of(recipe, described, mel),
            steps=ours,
            n_workers=n_workers,
            overwrite=is_overwritten,
            on_progress=lambda basename, done, total: listener.progress("Preparing", done, total),
        )
        return store.root


def _prepare_tortoise(
    recipe: Recipe,
    steps: Sequence[str],
    is_tried: bool,
    is_overwritten: bool,
    n_workers: int | None,
    listener: Listener,
) -> Path:
    """Recordings, codes, symbols and what is heard of voices: all that a stage of TorToiSe reads."""
    if steps:
        raise RecipeError(
            f"{recipe.stage} is prepared as a whole",
            expected="no --steps",
            found=", ".join(steps),
            do="leave it out: only what changed is made again",
        )
    with tempfile.TemporaryDirectory() as folder:
        recipe = _first_of_each(recipe, Path(folder), listener) if is_tried else recipe
        material = prepare_tortoise(
            recipe,
            files=files_of(recipe),
            listener=listener,
            is_overwritten=is_overwritten,
            n_workers=n_workers,
        )
        return material.store.root


def _ours(steps: Sequence[str], listener: Listener) -> tuple[str, ...]:
    if unknown := [step for step in steps if step not in (*STEPS, *ON_THE_FLY)]:
        raise RecipeError(
            f"there is no step '{unknown[0]}'",
            expected=f"some of {', '.join((*STEPS, *ON_THE_FLY))}",
            found=unknown[0],
        )
    for step in dict.fromkeys(steps):
        if step in ON_THE_FLY:
            listener.say("Step", f"{step}: nothing to prepare, {ON_THE_FLY[step]}")
    return tuple(step for step in STEPS if step in steps) if steps else STEPS


def _first_of_each(recipe: Recipe, folder: Path, listener: Listener) -> Recipe:
    """The same recipe with shorter lists; which of them are learnt from is left to the lot."""
    listener.say("Tried", f"only the first {N_TRIED} utterances of each data set")
    sets = [_shortened(one, folder / f"{number}.psv") for number, one in enumerate(lists_in(recipe.data))]
    lists = {
        "filelist": sets[0].filelist,
        "filelist_format": sets[0].filelist_format,
        "recordings": sets[0].recordings,
        "more": tuple(sets[1:]),
        "held_out": (),
        "training_filelist": None,
        "validation_filelist": None,
    }
    return recipe.model_copy(update={"data": recipe.data.model_copy(update=lists)})


def _shortened(one: DataSet, path: Path) -> DataSet:
    utterances = read_filelist(one.filelist, format=one.filelist_format)[:N_TRIED]
    write_filelist(path, utterances)
    seen_from = recordings_of(utterances, one.recordings, [one.filelist])
    return one.model_copy(update={"filelist": path, "filelist_format": "psv", "recordings": seen_from})

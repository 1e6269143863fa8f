"""A recipe's recordings and texts, utterance by utterance, before anything is trained."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from retimbre.checkpoint.write import write_text
from retimbre.data.check import Checked, check_sets
from retimbre.data.features import PrepareOptions
from retimbre.data.manifest import read_filelist
from retimbre.data.prepare import RecordedSet
from retimbre.diagnose.scores import score_sets, write_scores
from retimbre.errors import CheckpointError
from retimbre.jobs.listener import Listener
from retimbre.models.explain import explain_file
from retimbre.models.load import load_model
from retimbre.recipe.recipe import Data, Recipe
from retimbre.text.symbols import SymbolTable
from retimbre.training.fastspeech2 import loss_weights
from retimbre.training.listed import listed_in
from retimbre.training.material import output_mel_of, spectrogram_of

CHECKED = "checked-data.json"  # EveryVoice's name for it


@dataclass(frozen=True, kw_only=True)
class Checkup:
    """All utterances, and where what was found about each is written.

    Args:
        scores: The losses of a model on each, if one was given.
    """

    checked: tuple[Checked, ...]
    path: Path
    scores: Path | None = None

    def to_text(self) -> str:
        """A line for each finding, and how many utterances are as they should be."""
        lines = [f"{one.utterance.basename}\t{finding}" for one in self.checked for finding in one.findings]
        n_odd = sum(bool(one.findings) for one in self.checked)
        return "\n".join([*lines, f"{len(self.checked)} utterances, {n_odd} with something to look at"])


def check_data(
    recipe: Recipe,
    *,
    model: Path | None,
    filelist: Path | None,
    preprocessed: Path | None = None,
    folder: Path,
    has_prosody: bool = True,
    n_workers: int | None,
    listener: Listener,
) -> Checkup:
    """Look at every recording and text of a recipe, and write what is found to `folder`.

    Args:
        model: Whose symbols are to be known, and whose losses are written; without one, the symbols of the
            recipe's base.
        filelist: Instead of the recipe's own lists.
        has_prosody: Measure pitch and energy of each recording, too.
        preprocessed: A folder whose prepared audio the model is judged on, instead of the recordings.
    """
    path = model or recipe.base
    described = explain_file(path).description if path else None
    if model and described and not described.symbols:
        raise CheckpointError(
            f"{model} reads no texts", expected="a text-to-spec checkpoint", found=described.family
        )
    table = SymbolTable(described.symbols) if described and described.symbols else None
    sets = _sets(recipe.data, filelist)
    mel = described.mel if described else spectrogram_of(recipe.spectrogram)
    checked = check_sets(
        sets,
        mel,
        output_mel=output_mel_of(recipe, described, mel),
        table=table,
        reading=described.reading if described else None,
        has_prosody=has_prosody,
        n_workers=n_workers,
        on_progress=lambda done, total: listener.progress("Checking", done, total),
    )
    if table is None:
        listener.say("Symbols", "are not looked up: give a text-to-spec checkpoint as MODEL")
    rows = [one.to_dict() for one in checked]
    write_text(folder / CHECKED, json.dumps(rows, ensure_ascii=False, indent=1) + "\n")
    scores = None
    if model is not None:
        prepared = sets if preprocessed is None else [_prepared(one, preprocessed) for one in sets]
        found = score_sets(prepared, load_model(model), loss_weights(recipe.training), listener)
        scores = write_scores(folder, found, described.step if described else 0)
    return Checkup(checked=tuple(checked), path=folder / CHECKED, scores=scores)


def _prepared(one: RecordedSet, preprocessed: Path) -> RecordedSet:
    return replace(one, recordings=preprocessed, are_cleaned=True)


def _sets(data: Data, filelist: Path | None) -> Sequence[RecordedSet]:
    if filelist is None:
        return listed_in(data).sets
    options = PrepareOptions(
        min_duration_s=data.min_duration_s,
        max_duration_s=data.max_duration_s,
        trims_silence=data.trims_silence,
        effects=data.effects,
    )
    return [RecordedSet(utterances=read_filelist(filelist), recordings=data.recordings, options=options)]

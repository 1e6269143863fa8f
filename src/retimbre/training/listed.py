"""Which utterances a recipe names, which of them may be learnt from, and where their recordings lie."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from retimbre.data.features import PrepareOptions
from retimbre.data.manifest import read_filelist
from retimbre.data.one_utterance import find_recording
from retimbre.data.prepare import RecordedSet
from retimbre.data.split import split
from retimbre.data.utterance import Utterance
from retimbre.errors import DataError, RecipeError
from retimbre.jobs.listener import Listener
from retimbre.recipe.recipe import Data, DataSet


@dataclass(frozen=True, kw_only=True)
class Listed:
    """All utterances of a recipe.

    Args:
        sets: By the folder of their recordings.
        learnt: What may be learnt from; with lists of its own, exactly the first one.
        measured: What is only ever measured on; with lists of its own, the second one.
        n_in_both: Utterances that both lists have: they are learnt from.
    """

    sets: tuple[RecordedSet, ...]
    learnt: tuple[Utterance, ...]
    measured: tuple[Utterance, ...]
    n_in_both: int = 0


def has_given_split(data: Data) -> bool:
    """Does the recipe say by two lists what is learnt from and what is measured on?"""
    return data.training_filelist is not None


def lists_in(data: Data) -> tuple[DataSet, ...]:
    """The data sets of a recipe, the first one like the others."""
    first = DataSet(
        label=data.label,
        recordings=data.recordings,
        filelist=data.filelist,
        filelist_format=data.filelist_format,
        trims_silence=data.trims_silence,
        effects=data.effects,
    )
    return (first, *data.more)


def listed_in(data: Data) -> Listed:
    """Every utterance that a recipe names, with the label of its data set.

    Raises:
        DataError: if a list cannot be read, or an utterance belongs to none of several data sets.
        RecipeError: if only one side of the split is given.
    """
    if (data.training_filelist is None) != (data.validation_filelist is None):
        raise RecipeError(
            "the recipe gives one list of the split",
            expected="data.training_filelist and data.validation_filelist, or none of them",
            do="add the other one",
        )
    if data.training_filelist is None or data.validation_filelist is None:
        return _by_lot(data)
    learnt = tuple(read_filelist(data.training_filelist))
    second = tuple(read_filelist(data.validation_filelist))
    known = {utterance.stem for utterance in learnt}
    both = [utterance for utterance in second if utterance.stem in known]
    only_second = [utterance for utterance in second if utterance.stem not in known]
    sets = _grouped((*learnt, *only_second), data)
    labelled = {u.stem: u for one in sets for u in one.utterances}
    return Listed(
        sets=sets,
        learnt=tuple(labelled[u.stem] for u in learnt),
        measured=tuple(labelled[u.stem] for u in second),
        n_in_both=len(both),
    )


def tell_listed(listed: Listed, listener: Listener) -> None:
    """Say it where the two lists of a given split are not apart."""
    if listed.n_in_both:
        listener.say(
            "Split", f"{listed.n_in_both} utterances stand in both lists: their numbers are too good"
        )


def _by_lot(data: Data) -> Listed:
    sets = tuple(_recorded(one, _read(one), data) for one in lists_in(data))
    utterances = [utterance for one in sets for utterance in one.utterances]
    parts = split(utterances, held_out=data.held_out or data.held_out_fraction, seed=data.seed)
    return Listed(sets=sets, learnt=tuple(parts.training), measured=tuple(parts.validation))


def _grouped(utterances: Sequence[Utterance], data: Data) -> tuple[RecordedSet, ...]:
    """Utterances of a given split with the data set that each belongs to."""
    sets = lists_in(data)
    groups: list[list[Utterance]] = [[] for _ in sets]
    for utterance, place in zip(utterances, _places(utterances, sets), strict=True):
        groups[place].append(_labelled(utterance, sets[place]))
    return tuple(_recorded(one, group, data) for one, group in zip(sets, groups, strict=True) if group)


def _places(utterances: Sequence[Utterance], sets: Sequence[DataSet]) -> list[int]:
    """Number of each utterance's data set: the only one, that of its label, or the one that lists it."""
    if len(sets) == 1:
        return [0] * len(utterances)
    of_label = {one.label: number for number, one in enumerate(sets) if one.label}
    of_stem: dict[str, int] = {}
    if any(utterance.label not in of_label for utterance in utterances):
        of_stem = {u.stem: number for number, one in enumerate(sets) for u in _read(one)}
    places = [of_label.get(u.label, of_stem.get(u.stem)) for u in utterances]
    lost = [u.basename for u, place in zip(utterances, places, strict=True) if place is None]
    if lost:
        raise DataError(
            f"{len(lost)} utterances of the split belong to none of the {len(sets)} data sets",
            expected=f"a column 'label' with one of {', '.join(of_label)}, or a line in one of their lists",
            found=", ".join(lost[:3]),
            do="correct the lists of the split",
        )
    return [place for place in places if place is not None]


def _read(one: DataSet) -> list[Utterance]:
    return [_labelled(u, one) for u in read_filelist(one.filelist, format=one.filelist_format)]


def _labelled(utterance: Utterance, one: DataSet) -> Utterance:
    return replace(utterance, label=one.label or utterance.label)


def _recorded(one: DataSet, utterances: Sequence[Utterance], data: Data) -> RecordedSet:
    options = PrepareOptions(
        min_duration_s=data.min_duration_s,
        max_duration_s=data.max_duration_s,
        trims_silence=one.trims_silence,
        effects=one.effects,
    )
    lists = (one.filelist, data.training_filelist, data.validation_filelist)
    recordings = recordings_of(utterances, one.recordings, [path for path in lists if path is not None])
    return RecordedSet(utterances=tuple(utterances), recordings=recordings, options=options)


def recordings_of(utterances: Sequence[Utterance], recordings: Path, lists: Sequence[Path]) -> Path:
    """The folder from which the recordings are seen.

    That is `recordings`, unless the lists name folders, as DL-Art-School's do, and the first of these names
    that leads to a recording does so from the folder of a list: `wavs/a.wav` beside `train.txt`.
    """
    places = dict.fromkeys((recordings, *(path.parent for path in lists)))
    with_folders = (utterance for utterance in utterances if "/" in utterance.basename)
    for utterance in with_folders:
        if found := [place for place in places if find_recording(place, utterance.basename)]:
            return found[0]
    return recordings

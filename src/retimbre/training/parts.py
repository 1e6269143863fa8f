"""Parts: which utterances weights learn from, which choose the best weights, which are measured on."""

from collections.abc import Sequence
from dataclasses import dataclass

from retimbre.data.manifest import write_filelist
from retimbre.data.split import split
from retimbre.data.store import Store
from retimbre.data.utterance import Utterance
from retimbre.errors import DataError
from retimbre.jobs.listener import Listener
from retimbre.recipe.recipe import Recipe
from retimbre.training.listed import has_given_split


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Who learns, who chooses the best weights, and who is only ever measured on."""

    training: tuple[Utterance, ...]
    validation: tuple[Utterance, ...]
    held_out: tuple[Utterance, ...]


def parted(learnt: Sequence[Utterance], measured: Sequence[Utterance], recipe: Recipe) -> Parts:
    """By lot some of what is learnt from chooses; of a given split, some of what is measured on."""
    is_given = has_given_split(recipe.data)
    fewest = 1 if is_given else 2
    if len(learnt) < fewest or not measured:
        raise DataError(
            "too few utterances could be used",
            expected="at least one to train on, one to choose the best weights by and one to measure on",
            found=f"{len(learnt)} to train and choose by, {len(measured)} held out",
            do="see left-out.tsv for what is wrong with the others; add recordings or hold out fewer",
        )
    most, seed = recipe.training.validate_at_most, recipe.data.seed
    if not is_given:
        share = min(recipe.data.validation_fraction, most / len(learnt))
        chosen = split(learnt, held_out=share, seed=seed)
        return Parts(
            training=tuple(chosen.training), validation=tuple(chosen.validation), held_out=tuple(measured)
        )
    if len(measured) == 1:
        return Parts(training=tuple(learnt), validation=tuple(measured), held_out=tuple(measured))
    share = min(len(measured) // 2, most) / len(measured)
    chosen = split(measured, held_out=share, seed=seed)
    return Parts(training=tuple(learnt), validation=tuple(chosen.validation), held_out=tuple(chosen.training))


def write_parts(store: Store, parts: Parts) -> None:
    """What is learnt from and chosen by, as lists."""
    write_filelist(store.filelist_path("training"), parts.training)
    write_filelist(store.filelist_path("validation"), parts.validation)


def tell_parts(parts: Parts, listener: Listener) -> None:
    """Say it where those who choose are those who are measured on."""
    if parts.validation == parts.held_out:
        listener.say(
            "Held out", "one utterance chooses the best weights and is measured on: its numbers are too good"
        )

"""Which utterances are trained on, and which are only ever measured on."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from retimbre.data.utterance import Utterance
from retimbre.errors import DataError


@dataclass(frozen=True, kw_only=True)
class Split:
    """Two lists without a common utterance, both in the order of the list that was split; none is empty."""

    training: list[Utterance]
    validation: list[Utterance]


def split(utterances: Sequence[Utterance], *, held_out: Sequence[str] | float, seed: int = 1234) -> Split:
    """Hold out utterances by name, or a share of them by lot.

    By lot each utterance draws a number from its name and the seed, and the lowest numbers are held out: the
    order of the list does not matter, and when a few utterances come or go, the others stay where they are.

    Args:
        held_out: Basenames (or whole stems, `base--speaker--language`), or a share between 0 and 1.

    Raises:
        DataError: if a name is not in the list, or nothing would be left on one side.
    """
    if isinstance(held_out, (float, int)):
        stems = _by_lot(utterances, float(held_out), seed)
    else:
        stems = _by_name(utterances, held_out)
    training = [utterance for utterance in utterances if utterance.stem not in stems]
    validation = [utterance for utterance in utterances if utterance.stem in stems]
    if not training or not validation:
        raise DataError(
            "the list cannot be split",
            expected="at least one utterance to train on and one to measure on",
            found=f"{len(training)} and {len(validation)}",
            do="hold out others, or add recordings",
        )
    return Split(training=training, validation=validation)


def _by_lot(utterances: Sequence[Utterance], fraction: float, seed: int) -> set[str]:
    if not 0 < fraction < 1:
        raise DataError("the list cannot be split", expected="a share between 0 and 1", found=str(fraction))
    stems = [utterance.stem for utterance in utterances]
    n_held_out = max(1, min(len(stems) - 1, round(len(stems) * fraction)))
    drawn = sorted(stems, key=lambda stem: hashlib.sha256(f"{seed} {stem}".encode()).digest())
    return set(drawn[:n_held_out])


def _by_name(utterances: Sequence[Utterance], names: Sequence[str]) -> set[str]:
    stems: dict[str, set[str]] = {}
    for utterance in utterances:
        for name in (utterance.basename, utterance.stem):
            stems.setdefault(name, set()).add(utterance.stem)
    unknown = [name for name in names if name not in stems]
    if unknown:
        near = get_close_matches(unknown[0], stems, n=1)
        raise DataError(
            f"{len(unknown)} held-out names are not among the {len(utterances)} utterances",
            expected="basenames of the list",
            found=", ".join(f"'{name}'" for name in unknown[:3]),
            do=f"write '{near[0]}'"
            if near
            else "check the names; a recording that was left out is not there",
        )
    return {stem for name in names for stem in stems[name]}

"""Which symbols of the texts a model does not know: looked at before anything is trained."""

from collections.abc import Iterable
from typing import Literal

from retimbre.data.utterance import Utterance
from retimbre.errors import DataError
from retimbre.text.normalise import TextRules, normalise
from retimbre.text.symbols import SymbolTable

Level = Literal["characters", "phones"]


def text_of(utterance: Utterance, level: Level) -> str:
    """What a model of that level reads.

    Raises:
        DataError: if the list does not have it.
    """
    text = utterance.phones if level == "phones" else utterance.text
    if not text:
        raise DataError(
            f"{utterance.basename} has no {level}",
            expected=f"a column '{level}' in the list",
            found="only phones" if level == "characters" else "only characters",
            do=f"add the column, or take a model that reads {_other(level)}",
        )
    return text


def unknown_symbols(
    utterances: Iterable[Utterance],
    table: SymbolTable,
    rules: TextRules,
    *,
    level: Level = "characters",
) -> dict[str, list[str]]:
    """Symbols that the table lacks, commonest first, each with the basenames of the texts that have it."""
    found: dict[str, list[str]] = {}
    for utterance in utterances:
        encoded = table.encode(normalise(text_of(utterance, level), rules))
        for symbol in dict.fromkeys(encoded.unknown):
            found.setdefault(symbol, []).append(utterance.basename)
    return dict(sorted(found.items(), key=lambda item: (-len(item[1]), item[0])))


def _other(level: Level) -> Level:
    return "characters" if level == "phones" else "phones"

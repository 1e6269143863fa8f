"""Which symbols the rows of an EveryVoice text-to-spec checkpoint stand for.

    from 1.3      the file says it: `realized_symbols`; without them, what was declared for its level of text
    up to 1.2     padding, a space, then everything declared and the internal tags, the longest first

Models before 1.2 have other tags and other kinds of punctuation; `everyvoice_symbols` sees that from the
kinds. (When EveryVoice itself updates such a model it takes the tags for the first rows. They were sorted
with the rest, which moves no row of a letter, as no letter is as long as a tag.)
"""

from collections.abc import Mapping, Sequence
from typing import Any

from retimbre.errors import CheckpointError, TextError
from retimbre.text.normalise import TextRules
from retimbre.text.symbols import PUNCTUATION, PUNCTUATION_BEFORE_0_3, SILENCE, counts_for, everyvoice_symbols

Version = tuple[int, ...]
FIRST_WITH_REALIZED_SYMBOLS: Version = (1, 3)
FIRST_WITH_THESE_FEATURES: Version = (1, 2)
NEWEST: Version = (1, 3)


def version_of(model_info: Mapping[str, Any]) -> Version:
    """EveryVoice's version of a model; files from before it counted them are 1.0."""
    parts = str(model_info.get("version", "1.0")).split(".")
    is_plain = all(part.isdecimal() and len(part) < 5 for part in parts)
    return tuple(int(part) for part in parts) if is_plain else (1, 0)


def realized_symbols(
    known: Mapping[str, Any],
    declared: Mapping[str, Any],
    rules: TextRules,
    *,
    version: Version,
    n_rows: int | None,
) -> tuple[str, ...]:
    """The symbols in the order of their rows.

    Args:
        known: `hyper_parameters`.
        declared: `symbols` of their text configuration.
        n_rows: Of the table; None where the model reads features.
    """
    stored = known.get("realized_symbols")
    if isinstance(stored, list | tuple) and stored:
        return tuple(map(str, stored))
    # Before its first release EveryVoice took symbols as they are, not normalised like the texts.
    tables = [_table(_declared_for(known, declared, version), declared, r, version) for r in (rules, None)]
    return next((table for table in tables if len(table) == n_rows), tables[0])


def punctuation_in(declared: Mapping[str, Any], version: Version) -> Mapping[str, Sequence[str]]:
    """Kinds of punctuation and their marks, with EveryVoice's defaults of that time."""
    usual = PUNCTUATION if version >= FIRST_WITH_THESE_FEATURES else PUNCTUATION_BEFORE_0_3
    told = declared.get("punctuation")
    return told if isinstance(told, Mapping) and told else usual


def silence_in(declared: Mapping[str, Any]) -> Sequence[str]:
    """What stands for silence."""
    told = declared.get("silence", SILENCE)
    return told if isinstance(told, list | tuple) else SILENCE


def _declared_for(known: Mapping[str, Any], declared: Mapping[str, Any], version: Version) -> list[str]:
    lists = {name: value for name, value in declared.items() if isinstance(value, list | tuple | str)}
    if version >= FIRST_WITH_REALIZED_SYMBOLS:
        model = known["config"].get("model")
        level = model.get("target_text_representation_level") if isinstance(model, Mapping) else None
        lists = {name: value for name, value in lists.items() if counts_for(name, str(level))}
    symbols = [symbol for name, listed in lists.items() if name != "silence" for symbol in listed]
    if strange := [symbol for symbol in symbols if not isinstance(symbol, str)]:
        raise CheckpointError("the symbols in the file make no sense", found=str(strange[0])[:40])
    return symbols


def _table(
    symbols: list[str], declared: Mapping[str, Any], rules: TextRules | None, version: Version
) -> tuple[str, ...]:
    try:
        return everyvoice_symbols(
            phones=symbols,
            punctuation=punctuation_in(declared, version),
            silence=silence_in(declared),
            rules=rules,
        ).symbols
    except (TextError, TypeError, AttributeError) as error:
        raise CheckpointError("the symbols in the file make no sense", found=str(error)) from error

"""EveryVoice's text section -> our own: rules, and the symbol table in the order of its embedding rows."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from retimbre.errors import RecipeError, TextError
from retimbre.recipe.everyvoice_files import Merged
from retimbre.recipe.everyvoice_names import CLEANERS, refuse_engine
from retimbre.recipe.everyvoice_schema import Punctuation, Text
from retimbre.text.normalise import TextRules, normalise
from retimbre.text.symbols import (
    PUNCTUATION,
    PUNCTUATION_BEFORE_0_3,
    SymbolTable,
    counts_for,
    everyvoice_symbols,
    label_of,
)

FEATURES_LEVEL = "phonological_features"  # of phones
KINDS_BEFORE_0_3 = tuple(PUNCTUATION_BEFORE_0_3)[3:]


def text_values(text: Text, level: str, merged: Merged, notes: list[str]) -> dict[str, Any]:
    """The keys of our section `text`."""
    rules = _rules(text.to_replace, text.cleaners, merged, "text.cleaners")
    by_language = _cleaners_of(text.language_cleaners, merged, "text.language_cleaners")
    by_dataset = _cleaners_of(text.dataset_cleaners, merged, "text.dataset_cleaners")
    for name in ("language_to_replace", "dataset_to_replace"):
        for label, replacements in getattr(text, name).items():
            _rules(replacements, (), merged, f"text.{name}.{label}")
    finds_phones = level != "characters"
    table = symbol_table(text, "phones" if finds_phones else "characters", merged)
    for language, engine in text.g2p_engines.items():
        if finds_phones:
            raise refuse_engine(engine, language, merged.where(f"text.g2p_engines.{language}"))
        notes.append(f"text.g2p_engines: '{engine}' is never run; a model of characters does without phones")
    return {
        "symbols": list(table.symbols),
        "level": "phones" if finds_phones else "characters",
        **(_features(text, merged) if level == FEATURES_LEVEL else {}),
        "g2p": "own" if finds_phones else "",
        "cleaners": list(rules.cleaners),
        "to_replace": dict(rules.to_replace),
        "language_cleaners": by_language,
        "language_to_replace": text.language_to_replace,
        "dataset_cleaners": by_dataset,
        "dataset_to_replace": text.dataset_to_replace,
        "split_text": text.split_text,
        "boundaries": {language: signs.model_dump() for language, signs in text.boundaries.items()},
    }


def _features(text: Text, merged: Merged) -> dict[str, Any]:
    """What tells punctuation and silence apart, where a network reads features."""
    marks = _marks(text.symbols.punctuation, merged)
    if old := [kind for kind in KINDS_BEFORE_0_3 if kind in marks]:
        raise RecipeError(
            f"{merged.where(f'text.symbols.punctuation.{old[0]}')}: '{old[0]}' has no phonological features",
            expected=", ".join(PUNCTUATION),
            found="the kinds of 0.1 and 0.2",
            do="sort its signs into the later kinds",
        )
    return {
        "punctuation": {kind: list(given) for kind, given in marks.items()},
        "silence": text.symbols.silence,
    }


def symbol_table(text: Text, level: str, merged: Merged, *, has_both_levels: bool = False) -> SymbolTable:
    """The table that EveryVoice makes of its lists.

    Args:
        level: What is trained on; since model version 1.3 (released 0.5.0) only lists of that level count.
        has_both_levels: As up to 1.2: characters and phones together.
    """
    punctuation = _marks(text.symbols.punctuation, merged)
    lists = _lists(text, merged)
    _require_apart(punctuation, {**lists, "silence": text.symbols.silence}, merged)
    chosen = {name: symbols for name, symbols in lists.items() if has_both_levels or counts_for(name, level)}
    marks = {mark for kind in punctuation.values() for mark in kind}
    cleaned = [one for name, symbols in chosen.items() for one in _cleaned(name, symbols, text, merged)]
    declared = [symbol for symbol in cleaned if symbol not in marks]  # two may only look alike when cleaned
    return everyvoice_symbols(characters=declared, punctuation=punctuation, silence=text.symbols.silence)


def _marks(given: Punctuation, merged: Merged) -> dict[str, Sequence[str]]:
    named = {kind: marks for kind in Punctuation.model_fields if (marks := getattr(given, kind)) is not None}
    old = [kind for kind in KINDS_BEFORE_0_3 if kind in named]
    new = [kind for kind in named if kind not in PUNCTUATION_BEFORE_0_3]
    if old and new:
        raise RecipeError(
            f"{merged.where(f'text.symbols.punctuation.{old[0]}')}: the punctuation is of two versions",
            expected=f"kinds of 0.1 and 0.2 ({', '.join(KINDS_BEFORE_0_3)}) or of later ones",
            found=f"{old[0]} beside {new[0]}",
            do="keep the kinds of the version that the model was made with",
        )
    return {**(PUNCTUATION_BEFORE_0_3 if old else PUNCTUATION), **named}


def _lists(text: Text, merged: Merged) -> dict[str, list[str]]:
    """Every list of symbols but punctuation and silence."""
    lists = {}
    for name, symbols in (text.symbols.model_extra or {}).items():
        if name == "pad" and isinstance(symbols, str):
            symbols = list(symbols)  # before 0.1: one sign
        wrong = (
            [one for one in symbols if not isinstance(one, str)] if isinstance(symbols, list) else [symbols]
        )
        if wrong:
            raise RecipeError(
                f"{merged.where(f'text.symbols.{name}')}: 'text.symbols.{name}' is no list of symbols",
                expected="texts",
                found=repr(wrong[0])[:60],
                do=f"put it in quotes: '{wrong[0]}'" if isinstance(wrong[0], bool | int) else None,
            )
        lists[name] = symbols
    return lists


def _require_apart(
    punctuation: Mapping[str, Sequence[str]], lists: Mapping[str, Sequence[str]], merged: Merged
) -> None:
    for name, symbols in lists.items():
        for kind, marks in punctuation.items():
            if both := sorted(set(symbols) & set(marks)):
                raise RecipeError(
                    f"{merged.where(f'text.symbols.{name}')}: a symbol is in '{name}' and in punctuation",
                    expected="each in one of them",
                    found=f"{both[0]!r} in {name} and in {kind}",
                    do="take it out of one of them",
                )


def _cleaned(name: str, symbols: Iterable[str], text: Text, merged: Merged) -> list[str]:
    """The symbols as texts come to them: EveryVoice applies its rules to them as well; none may be empty."""
    label = label_of(name) or ""
    rules = _rules(
        text.dataset_to_replace.get(label, text.to_replace),
        text.dataset_cleaners.get(label, text.cleaners),
        merged,
        "text.cleaners",
    )
    return [symbol for one in symbols if (symbol := normalise(one, rules))]


def _cleaners_of(named: Mapping[str, Iterable[str]], merged: Merged, key: str) -> dict[str, list[str]]:
    return {
        label: [CLEANERS.meaning(name, merged.where(f"{key}.{label}")) for name in names]
        for label, names in named.items()
    }


def _rules(to_replace: Mapping[str, str], cleaners: Iterable[str], merged: Merged, key: str) -> TextRules:
    named = tuple(CLEANERS.meaning(name, merged.where(key)) for name in cleaners)
    try:
        return TextRules(to_replace=dict(to_replace), cleaners=named)
    except TextError as error:
        place = merged.where("text.to_replace" if to_replace else key)
        raise RecipeError(f"{place}: {error.what}", found=error.found, do=error.do) from error

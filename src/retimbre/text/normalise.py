"""Spelling and Unicode form: what happens to a text before it becomes symbols."""

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from retimbre.errors import TextError


def collapse_whitespace(text: str) -> str:
    """Every run of white space becomes one space."""
    return re.sub(r"\s+", " ", text)


def strip_text(text: str) -> str:
    """No white space at the ends."""
    return text.strip()


def lower(text: str) -> str:
    """Small letters."""
    return text.lower()


def nfc_normalize(text: str) -> str:
    """Letters and their accents as one code point, where Unicode has one."""
    return unicodedata.normalize("NFC", text)


CLEANERS: Mapping[str, Callable[[str], str]] = {
    "collapse_whitespace": collapse_whitespace,
    "strip_text": strip_text,
    "lower": lower,
    "nfc_normalize": nfc_normalize,
}
DOTTED = "everyvoice.utils."  # how an EveryVoice configuration names the same four; never imported


@dataclass(frozen=True, kw_only=True)
class TextRules:
    """What is done to a text: replacements first, then cleaners in their order.

    Args:
        to_replace: Regular expression -> replacement. The longest expression comes first.
        cleaners: Names from `CLEANERS`, also with `everyvoice.utils.` before them.
    """

    to_replace: Mapping[str, str] = field(default_factory=dict)
    cleaners: tuple[str, ...] = ("collapse_whitespace", "strip_text")

    def __post_init__(self) -> None:
        for pattern, replacement in self.to_replace.items():
            _require_regex(pattern, replacement)
        names = tuple(_known_cleaner(name) for name in self.cleaners)
        object.__setattr__(self, "cleaners", names)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; `from_dict` gives the same TextRules back."""
        return {"to_replace": dict(self.to_replace), "cleaners": list(self.cleaners)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "TextRules":
        """The TextRules that `to_dict` wrote."""
        return cls(to_replace=dict(values["to_replace"]), cleaners=tuple(values["cleaners"]))


def normalise(text: str, rules: TextRules) -> str:
    """The text as symbols are looked up in it."""
    for pattern in sorted(rules.to_replace, key=len, reverse=True):
        text = re.sub(pattern, rules.to_replace[pattern], text)
    for name in rules.cleaners:
        text = CLEANERS[name](text)
    return text


def _require_regex(pattern: str, replacement: str) -> None:
    try:
        re.compile(pattern).sub(replacement, "")
    except (re.error, IndexError) as error:
        raise TextError(
            f"the replacement of '{pattern}' by '{replacement}' makes no sense",
            expected="a regular expression and what to put in its place",
            found=str(error),
            do="write a backslash before signs that are meant as they are, as in '\\.' or '\\('",
        ) from error


def _known_cleaner(name: str) -> str:
    short = name.removeprefix(DOTTED)
    if short in CLEANERS:
        return short
    near = get_close_matches(short, CLEANERS, n=1)
    raise TextError(
        f"there is no cleaner '{name}'",
        expected=f"one of {', '.join(CLEANERS)}",
        do=f"write {near[0]}" if near else "take it out, or write what it does as 'to_replace'",
    )

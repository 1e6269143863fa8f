"""A text as a TorToiSe network reads it, and what of it the network will not see as it was written."""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from retimbre.text.bpe import Vocabulary, clean
from retimbre.text.tortoise_english import clean_english, speak_signs
from retimbre.text.transliterate import transliterate

ENGLISH = ("en", "eng")
QUOTE = '"'  # no piece stands for it, and no voice says it
INVISIBLE = ("Cf", "Cc", "Mn")  # joiners, marks of direction, selectors of a picture's form
Change = tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class Readable:
    """A text in the pieces of a vocabulary.

    Args:
        text: Cleaned.
        rows: Of its pieces, without those that a model adds before and after them.
        changed: Each sign that is read as another, or as nothing at all, and what it is read as; not
            those that are spoken as words, as £ in "£5", nor those that differ in their shape alone,
            as “ and ", – and -. In the order of the text.
        unknown: Each sign of the cleaned text for which there is no piece; the network is told that
            something is there, and not what.
    """

    text: str
    rows: tuple[int, ...]
    changed: tuple[Change, ...] = ()
    unknown: tuple[str, ...] = ()

    @property
    def is_silent(self) -> bool:
        """There is no letter in it: whatever a network makes of it, it is no speech."""
        return not any(sign.isalpha() for sign in self.text)

    def notes(self) -> tuple[str, ...]:
        """What a listener might miss, in sentences; nothing of quotation marks and invisible signs."""
        kept = [(sign, read) for sign, read in self.changed if read.strip()]
        lost = [sign for sign, read in self.changed if not read.strip() and not _is_never_said(sign)]
        found = []
        if self.unknown:
            signs = ", ".join(map(_shown, self.unknown))
            found.append(f"the voice does not know {signs}: write it in words")
        if kept:
            signs = ", ".join(f"{_shown(sign)} as {_shown(read.strip())}" for sign, read in kept)
            found.append(f"read with other signs: {signs}; where that sounds wrong, write it in words")
        if lost:
            found.append(f"left out, because no letters stand for it: {', '.join(map(_shown, lost))}")
        return tuple(found)


def read(text: str, vocabulary: Vocabulary, *, language: str = "en") -> Readable:
    """`text` as a network reads it: English as TorToiSe cleans it, others in small letters.

    Args:
        language: A code, as "en", "eng", "en-GB", "de".
    """
    is_english = re.split("[-_]", language.lower())[0] in ENGLISH
    cleaned = clean_english(text) if is_english else clean(text)
    return Readable(
        text=cleaned,
        rows=tuple(vocabulary.encode(cleaned, is_clean=True)),
        changed=tuple(dict.fromkeys(_changes(speak_signs(text)))) if is_english else (),
        unknown=tuple(dict.fromkeys(vocabulary.unknown(cleaned, is_clean=True))),
    )


def _changes(text: str) -> Iterator[Change]:
    for sign in _signs(text):
        read_as = transliterate(sign).lower().replace(QUOTE, "")
        if read_as != sign.lower() and not _is_same(sign, read_as):
            yield sign, read_as


def _signs(text: str) -> list[str]:
    """A letter and the marks that Unicode writes behind it are one sign."""
    signs: list[str] = []
    for char in text:
        if signs and unicodedata.combining(char):
            signs[-1] += char
        else:
            signs.append(char)
    return signs


def _is_same(sign: str, read_as: str) -> bool:
    """Is it only another shape of white space, punctuation or a letter?"""
    category = unicodedata.category(sign[0])
    if sign.isspace():
        return bool(read_as) and not read_as.strip()
    if category[0] == "P":
        return bool(read_as.strip()) and not any(char.isalnum() for char in read_as)
    is_wide = unicodedata.decomposition(sign[0]).startswith("<wide>")
    return (is_wide or category[0] == "L") and unicodedata.normalize("NFKC", sign).lower() == read_as


def _is_never_said(sign: str) -> bool:
    return transliterate(sign) in (QUOTE, "''") or all(
        unicodedata.category(char) in INVISIBLE for char in sign
    )


def _shown(sign: str) -> str:
    """A sign that can be seen, in quotation marks; any other by its number and name."""
    if sign.isprintable() and not sign.isspace():
        return f'"{sign}"'
    return " ".join(f"U+{ord(char):04X} {unicodedata.name(char, '')}".rstrip() for char in sign)

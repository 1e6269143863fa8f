"""SymbolTable: symbol <-> integer, and whether two tables agree."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from retimbre.errors import TextError
from retimbre.text.normalise import TextRules, normalise

PAD = "\x80"
SILENCE = ("<SIL>",)
PUNCTUATION: Mapping[str, Sequence[str]] = {  # EveryVoice's defaults since 0.3
    "exclamations": ("!", "¡"),
    "question_symbols": ("?", "¿"),
    "quotemarks": ('"', "'", "“", "”", "«", "»"),
    "parentheses": ("(", ")", "[", "]", "{", "}"),
    "periods": (".",),
    "colons": (":",),
    "semi_colons": (";",),
    "hyphens": ("-", "—", "*"),
    "commas": (",",),
    "ellipses": ("…",),
}
PUNCTUATION_BEFORE_0_3: Mapping[str, Sequence[str]] = {
    "exclamations": PUNCTUATION["exclamations"],
    "question_symbols": PUNCTUATION["question_symbols"],
    "quotemarks": PUNCTUATION["quotemarks"],
    "big_breaks": (".", ":", ";"),
    "small_breaks": (",", "-", "—"),
    "ellipsis": ("…",),
}
LOOK_ALIKES: Mapping[str, Sequence[str]] = {  # of a mark that a table may lack, the nearest first
    **dict.fromkeys("‘’‚‛ʼ", ("'", '"')),
    **dict.fromkeys("“”„‟", ('"', "“", "”", "'")),
    **dict.fromkeys("‹›«»", ('"', "'")),
    **dict.fromkeys("‐‑", ("-",)),
    **dict.fromkeys("‒–—―", ("—", "-", "–")),
    "…": (".",),
}
# Rows that no text reaches: EveryVoice writes them for punctuation in phonological features only.
TAGS = (
    "<EXCL>",
    "<QINT>",
    "<QUOTE>",
    "<PAREN>",
    "<PERIOD>",
    "<COLON>",
    "<SEMICOL>",
    "<HYPHEN>",
    "<COMMA>",
    "<EPS>",
)
TAGS_BEFORE_0_3 = ("<EXCL>", "<QINT>", "<QUOTE>", "<BB>", "<SB>", "<EPS>")


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """A text as integers.

    Args:
        ids: Rows of the table.
        symbols: What stands in these rows.
        unknown: Each character that the table does not have, in the order of the text, repeated as there.
    """

    ids: tuple[int, ...]
    symbols: tuple[str, ...]
    unknown: tuple[str, ...]


@dataclass(frozen=True)
class SymbolTable:
    """Symbols in the order of their embedding rows."""

    symbols: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.symbols:
            raise TextError("a symbol table is empty", expected="at least one symbol")
        twice = [symbol for symbol, n in Counter(self.symbols).items() if n > 1]
        if twice:
            raise TextError(
                "a symbol table has symbols more than once",
                expected="one row for each",
                found=_listed(twice),
            )

    def __len__(self) -> int:
        return len(self.symbols)

    def encode(self, text: str) -> Encoded:
        """Split `text` into the longest known symbols; what is unknown is returned, never just dropped.

        A mark or a space in a form that the table lacks is read as its plain one: – as —, ‘ as '.
        """
        known: list[str] = []
        unknown: list[str] = []
        for match in self._tokeniser.finditer(text):
            found = match.group()
            if match.lastgroup or (found := self._like(match.group())):
                known.append(found)
            else:
                unknown.append(match.group())
        ids = tuple(self._row_of[symbol] for symbol in known)
        return Encoded(ids=ids, symbols=tuple(known), unknown=tuple(unknown))

    def differences(self, other: "SymbolTable") -> dict[str, tuple[int | None, int | None]]:
        """Symbols whose rows differ, as {symbol: (row here, row there)}; None where it is missing."""
        ours, theirs = self._row_of, other._row_of
        rows = {symbol: (ours.get(symbol), theirs.get(symbol)) for symbol in (*ours, *theirs)}
        return {symbol: pair for symbol, pair in rows.items() if pair[0] != pair[1]}

    def _like(self, char: str) -> str:
        """A mark or a space of the table that `char` is another form of; nothing for any other character."""
        plain = unicodedata.normalize("NFKC", char) if unicodedata.category(char)[0] in "PZ" else ""
        return next((mark for mark in (plain, *LOOK_ALIKES.get(char, ())) if mark in self._reachable), "")

    @cached_property
    def _reachable(self) -> frozenset[str]:
        # The padding symbol is left out: in a text it is a stray control character, not a pause.
        return frozenset(self.symbols) - {PAD, ""}

    @cached_property
    def _row_of(self) -> dict[str, int]:
        return {symbol: row for row, symbol in enumerate(self.symbols)}

    @cached_property
    def _tokeniser(self) -> re.Pattern[str]:
        longest_first = sorted((s for s in self.symbols if s in self._reachable), key=len, reverse=True)
        known = "|".join(re.escape(symbol) for symbol in longest_first)
        return re.compile(f"(?P<known>{known})|." if known else ".", re.DOTALL)


def label_of(name: str) -> str | None:
    """The data set that one of EveryVoice's lists of symbols belongs to."""
    label, underscore, kind = name.rpartition("_")
    return label if label and underscore and kind in ("characters", "phones") else None


def counts_for(name: str, level: str) -> bool:
    """Is one of EveryVoice's lists for models of this level of text? One of no data set always is."""
    suffix = "_phones" if level in ("phones", "phonological_features") else "_characters"
    return label_of(name) is None or name.endswith(suffix)


def everyvoice_symbols(
    *,
    characters: Iterable[str] = (),
    phones: Iterable[str] = (),
    punctuation: Mapping[str, Sequence[str]] = PUNCTUATION,
    silence: Iterable[str] = SILENCE,
    rules: TextRules | None = None,
) -> SymbolTable:
    """The table that EveryVoice makes of a configuration, up to its model version 1.2.

    Version 1.3 keeps its table in the checkpoint (`realized_symbols`): take that one as it is.

    Args:
        characters: The symbols of all `<label>_characters` lists.
        phones: The symbols of all `<label>_phones` lists, and of any other.
        rules: The configuration's own rules; EveryVoice applies them to what is declared as well.

    Raises:
        TextError: if something is declared as punctuation and elsewhere; EveryVoice refuses that too.
    """
    marks = {mark for marks in punctuation.values() for mark in marks}
    declared = {normalise(symbol, rules) if rules else symbol for symbol in (*characters, *phones)}
    declared.update(silence)
    if both := sorted(marks & declared):
        raise TextError(
            "symbols are declared twice",
            expected="each as punctuation or as a character or phone",
            found=f"{_listed(both)} as both",
            do="take them out of one of the lists under 'symbols'",
        )
    tags = TAGS_BEFORE_0_3 if "big_breaks" in punctuation else TAGS
    rest = (marks | declared | set(tags)) - {PAD, " "}
    return SymbolTable((PAD, " ", *sorted(rest, key=lambda symbol: (-len(symbol), symbol))))


def _listed(symbols: Iterable[str]) -> str:
    return ", ".join(repr(symbol) for symbol in symbols)

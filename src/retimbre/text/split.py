"""Long texts into speakable pieces, at the ends of sentences where possible.

`split_text` cuts where EveryVoice cuts, except where it would lose signs, tear a word apart although there is
a better place, or give up. `tortoise_pieces` cuts where TorToiSe cuts, with the exceptions that it names.
"""

import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any

from retimbre.text.ipa import TIE_BARS
from retimbre.text.tortoise_english import BEFORE_NAMES

DESIRED, LONGEST = 100, 200  # code points, where nothing is known of the texts that a model was trained on
TORTOISE_DESIRED, TORTOISE_LONGEST = 200, 300
QUOTE = '"'
CUE = "|"  # a writer's own cut, as in TorToiSe
SENTENCE_END = re.compile(r"[!?][!?.]*(?= |$)|\.(?= |$)")
TITLE = re.compile(rf"\b(?:{'|'.join(sorted(BEFORE_NAMES))})$", re.IGNORECASE)
LONGEST_TITLE = max(map(len, BEFORE_NAMES)) + 1


@dataclass(frozen=True, kw_only=True)
class Boundaries:
    """The signs after which a text may be cut, if white space follows."""

    strong: str = "!?."
    weak: str = ":;,"


@dataclass(frozen=True, kw_only=True)
class Splitting:
    """Whether and where long texts are cut into pieces.

    Args:
        boundaries: Of languages that have others than "!?." and ":;,".
    """

    is_on: bool = True
    boundaries: Mapping[str, Boundaries] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; `from_dict` gives the same Splitting back."""
        return {"is_on": self.is_on, "boundaries": {name: asdict(of) for name, of in self.boundaries.items()}}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Splitting":
        """The Splitting that `to_dict` wrote; what is missing is as usual."""
        boundaries = {name: Boundaries(**of) for name, of in values.get("boundaries", {}).items()}
        return cls(is_on=bool(values.get("is_on", True)), boundaries=boundaries)


@dataclass(frozen=True, kw_only=True)
class _Places:
    """Where a text may be cut: `n` means after its first n code points. Best kind first."""

    strong: tuple[int, ...]
    weak: tuple[int, ...]
    strong_quoted: tuple[int, ...]
    weak_quoted: tuple[int, ...]
    spaces: tuple[int, ...]

    def last(self, start: int, end: int) -> int | None:
        """The last place of the best kind behind `start`, up to `end`."""
        for kind in (self.strong, self.weak, self.strong_quoted, self.weak_quoted, self.spaces):
            behind = bisect_right(kind, end)
            if behind and kind[behind - 1] > start:
                return kind[behind - 1]
        return None

    def first_strong(self, start: int, end: int) -> int | None:
        """The first strong boundary from `start` on, before `end`."""
        at = bisect_left(self.strong, start)
        return self.strong[at] if at < len(self.strong) and self.strong[at] < end else None


def split_text(
    text: str, *, desired: int = DESIRED, longest: int = LONGEST, boundaries: Boundaries | None = None
) -> tuple[str, ...]:
    """The pieces of `text`, which together are the whole text but for the white space between them.

    A piece ends at the first strong boundary after `desired` code points. If none comes before `longest`, it
    ends at the last strong boundary before that, else the last weak one, else the last boundary in a
    quotation, else the last space; only a word that is longer than that is cut itself.
    """
    text, longest = re.sub(r"\s+", " ", text), max(longest, 1)
    desired = max(min(desired, longest), 1)
    places = _places(text, boundaries or Boundaries())
    cuts, start = [0], 0
    while True:
        early = places.first_strong(start + desired, start + longest)
        if early is None and start + longest > len(text):
            break
        cut = early or places.last(start, start + longest) or _inside_word(text, start, start + longest)
        cuts.append(cut)
        # As EveryVoice counts: the space belongs to the next piece, unless the longest length made the cut.
        start = cut if early else cut + (text[cut : cut + 1] == " ")
    pieces = [text[a:b] for a, b in pairwise([*cuts, len(text)])]
    return tuple(piece.strip() for piece in _with_words(pieces))


def tortoise_pieces(
    text: str, *, desired: int = TORTOISE_DESIRED, longest: int = TORTOISE_LONGEST
) -> tuple[str, ...]:
    """The pieces of `text` that tortoise-tts 3.0.0 would speak one after another.

    A piece ends at the first end of a sentence after `desired` code points, outside quotations. If none comes
    before `longest`, it ends at the last end of a sentence or of a quotation before that, else at the last
    space, if that lies behind `desired`. Signs alone are no piece. A text with "|" is cut there alone, and
    where it would be too long.

    On purpose it is not as there:
        - the space beside a quotation mark tells whether it opens or closes; there they are counted, and one
          without a partner, as in 15" or in a speech over several paragraphs, turns all behind it around;
        - the dot of "Dr." and of other titles ends no sentence;
        - "!" and "?" end one only before white space: not in "(really?)" nor in an address of the web;
        - no number, no run of signs, no letter with its accent is cut apart, and no word that fits.
    """
    text = re.sub(r"[“”]", QUOTE, re.sub(r"\s+", " ", text))
    longest = max(longest, 1)
    desired = max(min(desired, longest), 1)
    if CUE in text:
        parts, desired = text.split(CUE), longest
    else:
        parts = [text]
    pieces = [piece for part in parts for piece in _as_tortoise_cuts(part, desired, longest)]
    return tuple(piece for piece in pieces if not re.fullmatch(r"[\s.,;:!?]*", piece))


def _as_tortoise_cuts(text: str, desired: int, longest: int) -> Iterator[str]:
    ends, after_quotations = _ends(text)
    start = 0
    while True:
        # As TorToiSe counts: of the signs that end a sentence the last may be at `longest`, the first not.
        first, last = bisect_left(ends, (start,)), bisect_left(ends, (start + longest - 1,))
        near = [end for _, end in ends[first:last] if end <= start + longest]
        late = [end for end in near if end - start >= desired]
        if not late and len(text) - start < longest:
            break
        first, last = (bisect_right(after_quotations, start + n) for n in (2, longest + 1))
        near += after_quotations[first:last]
        cut = late[0] if late else max(near, default=0) or _at_space(text, start, desired, longest)
        yield text[start:cut].strip()
        start = cut
    yield text[start:].strip()


def _ends(text: str) -> tuple[list[tuple[int, int]], list[int]]:
    """From where to where the signs at the ends of sentences are, and the places behind quotations.

    No sentence in a quotation counts; behind a quotation means behind the space after it.
    """
    quotations = list(_quotations_by_spaces(text))
    inside = [False] * len(text)
    for opens, closes in quotations:
        inside[opens:closes] = [True] * (closes - opens)
    found = SENTENCE_END.finditer(text)
    ends = [end.span() for end in found if not inside[end.start()] and not _is_title(text, end)]
    return ends, [closes + 2 for _, closes in quotations if text[closes + 1 : closes + 2] == " "]


def _quotations_by_spaces(text: str) -> Iterator[tuple[int, int]]:
    """Where they open and close; a mark opens none if it can only close one, and the other way round."""
    opened: int | None = None
    for place in (at for at, sign in enumerate(text) if sign == QUOTE):
        before, after = text[max(place - 1, 0) : place], text[place + 1 : place + 2]
        may_open = before in ("", *" (-–—") and after not in ("", " ")
        may_close = before not in ("", " ") and not after.isalnum()
        if (may_open and not may_close) or (opened is None and may_open == may_close):
            opened = place
        elif opened is not None:
            yield opened, place
            opened = None


def _is_title(text: str, end: re.Match[str]) -> bool:
    before = text[max(end.start() - LONGEST_TITLE, 0) : end.start()]
    return end[0] == "." and TITLE.search(before) is not None


def _at_space(text: str, start: int, desired: int, longest: int) -> int:
    """Behind the last space, also one nearer than `desired` if a word is that long; else in the word."""
    end = start + longest
    if text[end - 1] in "!?." and text[end : end + 1] in ("", " "):
        return end
    space = text.rfind(" ", start + 1, end)
    return space + 1 if space >= 0 else _inside_word(text, start, start + desired)


def _inside_word(text: str, start: int, end: int) -> int:
    """As far as `end`, but never between a letter and the marks that belong to it."""
    for cut in range(end, start, -1):
        before, after = text[cut - 1 : cut], text[cut : cut + 1]
        if before not in TIE_BARS and not (after and unicodedata.category(after)[0] == "M"):
            return cut
    return end


def _places(text: str, boundaries: Boundaries) -> _Places:
    found: dict[tuple[bool, bool], list[int]] = {(a, b): [] for a in (True, False) for b in (True, False)}
    spaces = []
    quoted = [False] * len(text)
    for opens, closes in _quotations(text):
        quoted[opens:closes] = [True] * (closes - opens)
    for place, (sign, is_quoted) in enumerate(zip(text, quoted, strict=True), start=1):
        if text[place : place + 1] not in ("", " "):
            continue
        spaces.append(place)
        if sign in boundaries.strong or sign in boundaries.weak:
            found[sign in boundaries.strong, is_quoted].append(place)
    return _Places(
        strong=tuple(found[True, False]),
        weak=tuple(found[False, False]),
        strong_quoted=tuple(found[True, True]),
        weak_quoted=tuple(found[False, True]),
        spaces=tuple(spaces),
    )


def _quotations(text: str) -> Iterator[tuple[int, int]]:
    """Where they open and close; a last sign without a partner opens nothing."""
    signs = [place for place, sign in enumerate(text) if sign == QUOTE]
    return zip(signs[:-1:2], signs[1::2], strict=True)


def _with_words(pieces: list[str]) -> list[str]:
    """Signs alone cannot be spoken: they stay with the piece before them, or the one after."""
    joined: list[str] = []
    for piece in pieces:
        if joined and not (_has_word(piece) and _has_word(joined[-1])):
            joined[-1] += piece
        else:
            joined.append(piece)
    return [piece for piece in joined if piece.strip()]


def _has_word(piece: str) -> bool:
    return any(sign.isalnum() for sign in piece)

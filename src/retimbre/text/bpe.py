"""Vocabulary: text <-> the pieces that TorToiSe's and XTTS's models read, by byte-pair encoding.

A text is cut into words and runs of other marks, each of these into characters, and then neighbours are
joined, pair by pair, in the order in which the vocabulary learnt the pairs. A space is a piece by itself. The
result is that of the library `tokenizers`, which is not needed here.
"""

import hashlib
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files
from itertools import groupby, pairwise
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, Field, ValidationError

from retimbre.errors import TextError
from retimbre.text.normalise import collapse_whitespace, lower

TABLE = "tortoise_vocabulary.json"
STOP, UNKNOWN, SPACE = SPECIAL = ("[STOP]", "[UNK]", "[SPACE]")
LARGEST_FILE_BYTES = 1 << 24
MOST_PIECES = 1 << 17
LONGEST_PIECE_CHARACTERS = 256
Merge = tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """Pieces in the order of their rows, and how they are put together.

    Args:
        pieces: Row -> piece. All of `SPECIAL` are among them.
        merges: Pairs that are joined, the first to be joined first.
        whole: Pieces that are found in a text as they stand, before anything is cut.
    """

    pieces: tuple[str, ...]
    merges: tuple[Merge, ...]
    whole: tuple[str, ...] = SPECIAL

    def __post_init__(self) -> None:
        twice = [piece for piece, n in Counter(self.pieces).items() if n > 1]
        _require(not twice, "one row for each piece", twice)
        missing = [piece for piece in (*SPECIAL, *self.whole) if piece not in self.row_of]
        _require(not missing, "rows for the pieces that are found as they stand", missing)
        cut = [piece for piece in SPECIAL if piece not in self.whole]
        _require(not cut, f"{', '.join(SPECIAL)} among the pieces that are found as they stand", cut)
        loose = [pair for pair in self.merges if not {*pair, "".join(pair)} <= self.row_of.keys()]
        _require(not loose, "merges of pieces into pieces", [" ".join(pair) for pair in loose])

    @classmethod
    def tortoise(cls) -> "Vocabulary":
        """TorToiSe's 255 pieces. Its model has one row more, for the start of a text."""
        return _tortoise()

    @classmethod
    def from_file(cls, path: Path) -> "Vocabulary":
        """The vocabulary in a `tokenizer.json` (XTTS: `vocab.json`) of the same kind.

        Raises:
            TextError: The file is none, is too large, or asks for anything that is not done here.
        """
        return _parsed(_small_file(path), path)

    def __len__(self) -> int:
        return len(self.pieces)

    def encode(self, text: str, *, is_clean: bool = False) -> list[int]:
        """The rows of a text. What no piece stands for becomes `[UNK]`, one each; `unknown` names it.

        Args:
            is_clean: It is in small letters, and two spaces in it are meant as two.
        """
        return [self.row_of.get(piece, self.row_of[UNKNOWN]) for piece in self._cut(text, is_clean)]

    def unknown(self, text: str, *, is_clean: bool = False) -> list[str]:
        """Each character for which there is no piece, in the order of the text, repeated as there."""
        return [piece for piece in self._cut(text, is_clean) if piece not in self.row_of]

    def decode(self, rows: Sequence[int]) -> str:
        """The cleaned text that the rows stand for; �: something unknown. The stop piece is silent."""
        spoken = {SPACE: " ", STOP: "", UNKNOWN: "\N{REPLACEMENT CHARACTER}"}
        outside = [row for row in rows if not 0 <= row < len(self)]
        if outside:
            raise TextError(
                "rows lie outside the vocabulary",
                expected=f"0 to {len(self) - 1}",
                found=", ".join(map(str, outside[:5])),
            )
        return "".join(spoken.get(self.pieces[row], self.pieces[row]) for row in rows)

    @cached_property
    def sha256(self) -> str:
        """Of what it holds, whatever file it is from."""
        content = json.dumps([self.pieces, self.merges, self.whole], ensure_ascii=False)
        return hashlib.sha256(content.encode()).hexdigest()

    @cached_property
    def row_of(self) -> dict[str, int]:
        """Piece -> row."""
        return {piece: row for row, piece in enumerate(self.pieces)}

    def _cut(self, text: str, is_clean: bool) -> list[str]:
        parts = self._whole_pieces.split((text if is_clean else clean(text)).replace(" ", SPACE))
        cut: list[str] = []
        for number, part in enumerate(parts):
            if number % 2:
                cut.append(part)
            else:
                cut += [
                    piece for _, run in groupby(part, key=_is_in_word) for piece in self._joined(list(run))
                ]
        return cut

    def _joined(self, pieces: list[str]) -> list[str]:
        """Neighbours joined as long as there is a merge: the earliest first, of equal ones the leftmost."""
        never = len(self.merges)
        while len(pieces) > 1:
            ranks = [self._rank_of.get(pair, never) for pair in pairwise(pieces)]
            place = ranks.index(min(ranks))
            if ranks[place] == never:
                break
            pieces[place : place + 2] = [pieces[place] + pieces[place + 1]]
        return pieces

    @cached_property
    def _rank_of(self) -> dict[Merge, int]:
        return {pair: rank for rank, pair in enumerate(self.merges)}

    @cached_property
    def _whole_pieces(self) -> re.Pattern[str]:
        longest_first = sorted(self.whole, key=len, reverse=True)
        return re.compile(f"({'|'.join(map(re.escape, longest_first))})")


def clean(text: str) -> str:
    """Small letters, and one space for any white space: TorToiSe's `basic_cleaners`.

    Since the special pieces are in capitals, no text can write one.
    """
    return collapse_whitespace(lower(text))


@cache
def _is_in_word(char: str) -> bool:
    r"""Is it matched by `\w` as Unicode's TR18 defines it? Python's own leaves out combining marks."""
    category = unicodedata.category(char)
    return (
        category[0] in "LM" or category in ("Nd", "Nl", "Pc") or char in "\u200c\u200d" or _is_circled(char)
    )


def _is_circled(char: str) -> bool:
    """Letters in circles or squares, which Unicode counts among the alphabetic signs."""
    ranges = (("\u24b6", "\u24e9"), ("\U0001f130", "\U0001f149"), ("\U0001f150", "\U0001f169"))
    return any(first <= char <= last for first, last in (*ranges, ("\U0001f170", "\U0001f189")))


def _require(is_so: bool, expected: str, found: Sequence[str]) -> None:
    if not is_so:
        raise TextError(
            "a vocabulary contradicts itself", expected=expected, found=", ".join(map(repr, found[:5]))
        )


@cache
def _tortoise() -> Vocabulary:
    written = _Table.model_validate_json((files("retimbre.text") / TABLE).read_bytes())
    return Vocabulary(pieces=written.pieces, merges=written.merges)


Piece = Annotated[str, Field(min_length=1, max_length=LONGEST_PIECE_CHARACTERS)]
Row = Annotated[int, Field(ge=0, lt=MOST_PIECES, strict=True)]


class _Table(BaseModel):
    """Our own form."""

    pieces: tuple[Piece, ...]
    merges: tuple[tuple[Piece, Piece], ...]


# A tokenizer.json: the fields that decide what becomes of a text, with the values that are done here.


class _Whitespace(BaseModel):
    type: Literal["Whitespace"]


class _AddedPiece(BaseModel):
    id: Row
    content: Piece
    single_word: Literal[False] = False
    lstrip: Literal[False] = False
    rstrip: Literal[False] = False


class _Bpe(BaseModel):
    type: Literal["BPE"]
    dropout: None = None
    unk_token: Literal["[UNK]"]
    continuing_subword_prefix: Literal["", None] = None
    end_of_word_suffix: Literal["", None] = None
    fuse_unk: Literal[False] = False
    byte_fallback: Literal[False] = False
    ignore_merges: Literal[False] = False
    vocab: dict[Piece, Row] = Field(max_length=MOST_PIECES)
    merges: list[str | tuple[Piece, Piece]] = Field(max_length=MOST_PIECES)


class _TokenizerFile(BaseModel):
    truncation: None = None
    padding: None = None
    normalizer: None = None
    post_processor: None = None
    pre_tokenizer: _Whitespace
    added_tokens: list[_AddedPiece] = Field(default=[], max_length=MOST_PIECES)
    model: _Bpe


def _parsed(written: bytes, path: Path) -> Vocabulary:
    try:
        read = _TokenizerFile.model_validate_json(written)
    except ValidationError as error:
        fault = error.errors()[0]
        raise TextError(
            f"{path} is no byte-pair vocabulary as TorToiSe and XTTS use it",
            found=f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}".lstrip(": "),
            do="take the tokenizer.json of TorToiSe, the vocab.json of XTTS, or one made in the same way",
        ) from None
    rows = dict(read.model.vocab)
    for added in read.added_tokens:
        if rows.setdefault(added.content, added.id) != added.id:
            raise TextError(f"{path}: a piece has two rows", found=repr(added.content))
    pieces = sorted(rows, key=rows.__getitem__)
    if sorted(rows.values()) != list(range(len(rows))):
        raise TextError(f"{path}: the rows are not numbered one by one", expected=f"0 to {len(rows) - 1}")
    try:
        return Vocabulary(
            pieces=tuple(pieces),
            merges=tuple(_pair(merge) for merge in read.model.merges),
            whole=tuple(added.content for added in read.added_tokens),
        )
    except TextError as error:
        raise TextError(f"{path}: {error.what}", expected=error.expected, found=error.found) from None


def _pair(merge: str | Merge) -> Merge:
    """Both spellings: older files write a pair as one text."""
    if isinstance(merge, tuple):
        return merge
    first, _, second = merge.partition(" ")
    return first, second


def _small_file(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            written = file.read(LARGEST_FILE_BYTES + 1)
    except OSError as error:
        raise TextError(f"{path} cannot be read", found=error.strerror or str(error)) from error
    if len(written) > LARGEST_FILE_BYTES:
        raise TextError(
            f"{path} is too large for a vocabulary",
            expected=f"at most {LARGEST_FILE_BYTES >> 20} MiB",
            do="check that it is the right file",
        )
    return written

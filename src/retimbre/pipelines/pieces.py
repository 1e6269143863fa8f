"""A text as the pieces in which it is spoken: the symbols of each, and the words that they belong to."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from retimbre.errors import TextError
from retimbre.models.description import Description
from retimbre.models.load import Loaded
from retimbre.pipelines.everyvoice import ids_of
from retimbre.text.arpabet import phones_of_arpabet
from retimbre.text.reading import Read
from retimbre.text.split import DESIRED, LONGEST, Splitting, split_text

Form = Literal["characters", "phones", "arpabet"]
SPACE = " "


@dataclass(frozen=True, kw_only=True)
class Word:
    """A word as it is written; some numbers are spoken as several words."""

    label: str
    n_spoken: int = 1


@dataclass(frozen=True, kw_only=True)
class Piece:
    """What a text-to-spec model speaks at once.

    Args:
        ids: Rows of its symbol table.
        symbols: What stands in them.
        words: In their order, together as many spoken words as the symbols have.
    """

    ids: tuple[int, ...]
    symbols: tuple[str, ...]
    words: tuple[Word, ...]


def pieces_of(
    text: str,
    loaded: Loaded,
    *,
    language: str | None = None,
    form: Form = "characters",
    splitting: Splitting | None = None,
) -> tuple[Piece, ...]:
    """What the model speaks for `text`, one piece after the other.

    Args:
        splitting: None: as the model was trained with.
        form: What is given. Characters become phones where the model reads phones and has rules for them.

    Raises:
        TextError: if something of it cannot be said, or nothing is left.
    """
    described, splitting = loaded.description, splitting or loaded.description.splitting
    language = language or described.languages[0]
    if form != "characters" and described.text_level == "characters":
        raise TextError(
            f"{loaded.path.name} reads characters", expected="the text as it is written", found=form
        )
    if form == "arpabet":
        text, form = phones_of_arpabet(text), "phones"
    if splitting.is_on:
        desired, longest = _lengths(described, language, form)
        parts = split_text(
            text, desired=desired, longest=longest, boundaries=splitting.boundaries.get(language)
        )
    else:
        parts = (text,)

    def read(part: str) -> Read:
        is_phones, reading = form == "phones", described.reading
        return reading.of_phones(part) if is_phones else reading.of(part, language=language)

    return tuple(piece_of(part, read(part), loaded, read_word=read) for part in parts or (text,))


def piece_of(text: str, read: Read, loaded: Loaded, *, read_word: Callable[[str], Read]) -> Piece:
    """A text that is spoken in one piece, however long.

    Args:
        text: As it is written.
        read: The same as the model reads it.
        read_word: Reads one written word; asked only where written and spoken words differ in number.
    """
    ids = ids_of(read, loaded)
    symbols = tuple(loaded.description.symbols[row] for row in ids)
    return Piece(ids=ids, symbols=symbols, words=_words(text.split(), symbols, read_word))


def _lengths(described: Description, language: str, form: Form) -> tuple[int, int]:
    """The mean and the largest length of the texts that the model was trained on."""
    reading, stats = described.reading, described.stats
    are_phones = form == "phones" or (reading.level == "phones" and reading.engine(language) is None)
    stat = stats and (stats.phone_length if are_phones else stats.character_length)
    return (int(stat.mean), int(stat.max)) if stat else (DESIRED, LONGEST)


def _words(written: Sequence[str], symbols: Sequence[str], read: Callable[[str], Read]) -> tuple[Word, ...]:
    """The written words, if it can be told which of them was spoken when; else the spoken ones."""
    spoken = spoken_words(symbols)
    if len(written) == len(spoken):
        return tuple(Word(label=label) for label in written)
    counts = [len(read(word).text.split()) for word in written]
    if sum(counts) != len(spoken):
        return tuple(Word(label="".join(word).strip()) for word in spoken)
    words: list[Word] = []
    for label, n_spoken in zip(written, counts, strict=True):
        if words and not (n_spoken and words[-1].n_spoken):  # a sign that is not spoken stays with its word
            before = words.pop()
            label, n_spoken = f"{before.label} {label}", before.n_spoken + n_spoken
        words.append(Word(label=label, n_spoken=n_spoken))
    return tuple(words)


def spoken_words(symbols: Sequence[str]) -> list[list[str]]:
    """The symbols of each word; a space belongs to the word before it, as in EveryVoice."""
    words: list[list[str]] = [[]]
    for symbol in symbols:
        has_ended = words[-1] and words[-1][-1] == SPACE and any(s != SPACE for s in words[-1])
        if has_ended and symbol != SPACE:
            words.append([])
        words[-1].append(symbol)
    return words

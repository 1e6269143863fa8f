"""Graphemes to phones, with the g2p library, in the symbols that EveryVoice's checkpoints were trained on.

English differs where EveryVoice says nothing: for words that the lexicon lacks, and for numbers.
"""

import logging
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from typing import Any

from retimbre.errors import TextError
from retimbre.text.english import CLITICS, guess, spell_out
from retimbre.text.ipa import Form, split_ipa

ENGLISH = "eng"
FORMS: Mapping[str, Form] = {"NFC": "NFC", "NFD": "NFD", "NFKC": "NFKC", "NFKD": "NFKD"}  # else: "none"


@dataclass(frozen=True, kw_only=True)
class Phones:
    """How a text is said.

    Args:
        symbols: Phones, spaces and punctuation, in the order of the text.
        guessed: Words that the lexicon lacks and that were said by rule, in the order of the text.
        silent: Words and signs for which nothing could be said; digits that stay in the symbols are here too.
    """

    symbols: tuple[str, ...]
    guessed: tuple[str, ...] = ()
    silent: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The symbols, joined."""
        return "".join(self.symbols)


def languages_with_phones() -> tuple[str, ...]:
    """The codes of all languages that `phones_of` speaks."""
    codes, _ = _g2p().get_arpabet_langs()
    return tuple(codes)


def phones_of(text: str, language: str) -> Phones:
    """How `text` is said in `language`.

    Raises:
        TextError: if there are no rules for the language.
    """
    if language == ENGLISH:
        text = spell_out(text)
    say = _say_english if language == ENGLISH else partial(_say, language=language)
    parts = [say(piece) for piece in re.split(r"(\s+)", text)]
    return Phones(
        symbols=tuple(symbol for part in parts for symbol in part.symbols),
        guessed=tuple(word for part in parts for word in part.guessed),
        silent=tuple(word for part in parts for word in part.silent),
    )


@lru_cache(maxsize=100_000)
def _say(piece: str, language: str) -> Phones:
    """One piece of text without white space, or white space alone."""
    engine = _engine(language)
    symbols = split_ipa(engine(piece).output_string, _form(language))
    is_lost = bool(piece.strip()) and (not symbols or any(s.isdigit() and s in piece for s in symbols))
    return Phones(symbols=symbols, silent=(piece,) if is_lost else ())


@lru_cache(maxsize=100_000)
def _say_english(piece: str) -> Phones:
    said: list[str] = []
    guessed: list[str] = []
    silent: list[str] = []
    for part, is_word in _english_parts(piece):
        phones = _in_lexicon(part) if is_word else part
        if is_word and not phones:
            phones = guess(part, _in_lexicon)
            (guessed if phones else silent).append(part)
        elif not is_word:
            silent += [sign for sign in part if unicodedata.category(sign).startswith("S")]
        said.append(phones)
    return Phones(
        symbols=split_ipa("".join(said), _form(ENGLISH)), guessed=tuple(guessed), silent=tuple(silent)
    )


def _english_parts(piece: str) -> Iterator[tuple[str, bool]]:
    """(text, is it a word), longest lexicon entries first; "'s" and its like stay with the word before."""
    tokens = [(token.text, token.is_word) for token in _tokenizer().tokenize_text(piece)]
    while tokens:
        part, is_word = tokens.pop(0)
        for n in (1, 2):  # the lexicon has "'s" in one piece, but not "'ll"
            ending = "".join(text for text, _ in tokens[:n])
            if is_word and ending.lower() in ("'s", "'d", *CLITICS):
                part += ending
                del tokens[:n]
                break
        yield part, is_word


def _in_lexicon(word: str) -> str:
    return str(_lexicon()(word).output_string)


def _form(language: str) -> Form | None:
    """The Unicode form in which the last step of the mapping writes."""
    return FORMS.get(_engine(language).transducers[-1].norm_form.value)


@cache
def _lexicon() -> Any:  # noqa: ANN401 - the library has no types
    return _g2p().make_g2p(ENGLISH, "eng-ipa", tokenize=False)


@cache
def _tokenizer() -> Any:  # noqa: ANN401 - the library has no types
    return _g2p().make_tokenizer(ENGLISH, "eng-ipa")


@cache
def _engine(language: str) -> Any:  # noqa: ANN401 - the library has no types
    known = languages_with_phones()
    if language not in known:
        raise TextError(
            f"there are no phones for the language '{language}'",
            expected=f"one of {', '.join(known)}",
            do="use a model of characters, or write the phones yourself",
        )
    return _g2p().make_g2p(language, _g2p().get_ipa_code(language))


@cache
def _g2p() -> Any:  # noqa: ANN401 - the library has no types
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    import g2p.log  # half a second: only who needs phones waits for it

    root.handlers[:] = handlers  # it sets up logging for the whole process
    root.setLevel(level)
    return g2p

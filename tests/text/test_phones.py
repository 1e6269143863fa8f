"""Texts become the phones that EveryVoice's checkpoints were trained on, and no English word is skipped."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from retimbre.errors import TextError
from retimbre.text.phones import languages_with_phones, phones_of

REFERENCE = Path(__file__).parents[1] / "fixtures" / "phones" / "everyvoice-0.5.0.json"
BY_LANGUAGE = json.loads(REFERENCE.read_text(encoding="utf-8"))


@pytest.mark.parametrize("language", BY_LANGUAGE)
def test_the_symbols_are_those_of_everyvoice(language):
    said = {text: list(phones_of(text, language).symbols) for text, _ in BY_LANGUAGE[language]}

    assert said == dict(BY_LANGUAGE[language])


def test_every_language_of_the_library_is_spoken():
    languages = languages_with_phones()

    assert len(languages) >= 49
    assert {"eng", "fra", "moh", "str"} <= set(languages)


def test_a_word_of_the_lexicon_is_not_guessed():
    said = phones_of("Hello, world!", "eng")

    assert said.text == "hʌloʊ, wɜ˞ld!"
    assert said.guessed == ()
    assert said.silent == ()


@pytest.mark.parametrize(
    ("word", "text"),
    [
        ("zorblax's", "zɔɹblæksɪz"),
        ("flibbing", "flɪbɪŋ"),
        ("NVLA", "ɛnviɛleɪ"),
        ("EveryVoice", "ɛvɜ˞ivɔɪs"),
        ("café", "kʌfeɪ"),
    ],
)
def test_a_word_that_the_lexicon_lacks_is_said_and_named(word, text):
    said = phones_of(f"The {word}.", "eng")

    assert said.text == f"ðʌ {text}."
    assert said.guessed == (word,)


def test_words_that_touch_punctuation_are_found():
    said = phones_of('("zorblax/zorblax")', "eng")

    assert said.guessed == ("zorblax", "zorblax")
    assert said.symbols[:2] == ("(", '"')


def test_a_curly_apostrophe_is_as_good_as_a_plain_one():
    assert phones_of("don’t", "eng") == phones_of("don't", "eng")


def test_what_cannot_be_said_is_named():
    said = phones_of("Привет ☺ you", "eng")

    assert said.silent == ("Привет", "☺")
    assert said.text == " ☺ ju"


def test_digits_that_a_language_does_not_read_are_named():
    said = phones_of("Bonjour 42!", "fra")

    assert said.silent == ("42!",)
    assert phones_of("Bonjour!", "fra").silent == ()


def test_numbers_are_said_in_english():
    assert phones_of("1984", "eng").text == "naɪntin eɪti fɔɹ"


def test_nothing_gives_nothing():
    assert phones_of("", "eng").symbols == ()
    assert phones_of("", "fra").symbols == ()


def test_an_unknown_language_is_named_in_the_error():
    with pytest.raises(TextError, match="no phones for the language 'tlh'"):
        phones_of("nuqneH", "tlh")


def test_looking_for_phones_leaves_the_logging_of_the_program_alone():
    code = (
        "import logging; from retimbre.text.phones import phones_of; root = logging.getLogger();"
        "before = root.level, len(root.handlers); phones_of('ship', 'eng');"
        "assert (root.level, len(root.handlers)) == before, (root.level, root.handlers)"
    )

    subprocess.run([sys.executable, "-c", code], check=True)

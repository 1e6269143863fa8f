from dataclasses import replace

import pytest

from retimbre.data.coverage import guessed_words, read_utterance, unknown_symbols
from retimbre.data.utterance import Utterance
from retimbre.errors import DataError
from retimbre.text.normalise import TextRules
from retimbre.text.reading import Reading
from retimbre.text.symbols import everyvoice_symbols

TABLE = everyvoice_symbols(characters="abcdefghijklmnopqrstuvwxyz")
LETTERS = Reading(rules=TextRules(cleaners=("lower",)))
PHONES = replace(LETTERS, level="phones")


def test_unknown_symbols_come_with_their_texts_commonest_first():
    utterances = [
        Utterance(basename="a", text="Größe 55"),
        Utterance(basename="b", text="plain"),
        Utterance(basename="c", text="5 ÖSTERREICHER"),
        Utterance(basename="d", text="Öl"),
    ]
    assert unknown_symbols(utterances, TABLE, LETTERS) == {
        "ö": ["a", "c", "d"],
        "5": ["a", "c"],
        "ß": ["a"],
    }
    assert list(unknown_symbols(utterances, TABLE, LETTERS)) == ["ö", "5", "ß"]


def test_phones_are_looked_at_where_the_model_reads_phones():
    utterances = [Utterance(basename="a", text="Größe", phones="grøsə")]
    assert unknown_symbols(utterances, TABLE, PHONES) == {"ø": ["a"], "ə": ["a"]}


def test_list_without_the_wanted_level_is_explained():
    with pytest.raises(DataError, match="has no phones"):
        unknown_symbols([Utterance(basename="a", text="x")], TABLE, PHONES)


def test_phones_are_found_where_rules_for_the_language_are_named():
    reading = replace(PHONES, engines={"default": "eng"})

    assert read_utterance(Utterance(basename="a", text="The ship."), reading).text == "ðʌ ʃɪp."
    several = replace(reading, has_one_language=False)
    with pytest.raises(DataError, match="has no phones"):
        read_utterance(Utterance(basename="a", text="The ship.", language="deu"), several)


@pytest.mark.parametrize(("language", "said"), [("eng", "faɪnd"), ("my English", "faɪnd"), ("deu", "fɪnt")])
def test_a_model_of_one_language_takes_the_rules_that_the_list_names_or_its_own(language, said):
    reading = replace(PHONES, engines={"default": "eng"})

    assert read_utterance(Utterance(basename="a", text="find", language=language), reading).text == said


def test_phones_of_the_list_win_over_those_of_rules():
    reading = replace(PHONES, engines={"default": "eng"})

    assert read_utterance(Utterance(basename="a", text="ship", phones="ʃip"), reading).text == "ʃip"


def test_words_that_the_lexicon_lacks_are_told_with_their_texts():
    reading = replace(PHONES, engines={"default": "eng"})
    utterances = [Utterance(basename="a", text="a zorblax"), Utterance(basename="b", text="ship")]

    assert guessed_words(utterances, reading) == {"zorblax": ["a"]}
    assert guessed_words(utterances, LETTERS) == {}


def test_signs_that_nobody_can_say_are_unknown_and_not_skipped():
    reading = replace(PHONES, engines={"default": "eng"})
    table = everyvoice_symbols(phones="ðʌʃɪp")

    assert unknown_symbols([Utterance(basename="a", text="the ship ★")], table, reading) == {"★": ["a"]}

import pytest

from retimbre.data.coverage import unknown_symbols
from retimbre.data.utterance import Utterance
from retimbre.errors import DataError
from retimbre.text.normalise import TextRules
from retimbre.text.symbols import everyvoice_symbols

TABLE = everyvoice_symbols(characters="abcdefghijklmnopqrstuvwxyz")
RULES = TextRules(cleaners=("lower",))


def test_unknown_symbols_come_with_their_texts_commonest_first():
    utterances = [
        Utterance(basename="a", text="Größe 55"),
        Utterance(basename="b", text="plain"),
        Utterance(basename="c", text="5 ÖSTERREICHER"),
        Utterance(basename="d", text="Öl"),
    ]
    assert unknown_symbols(utterances, TABLE, RULES) == {
        "ö": ["a", "c", "d"],
        "5": ["a", "c"],
        "ß": ["a"],
    }
    assert list(unknown_symbols(utterances, TABLE, RULES)) == ["ö", "5", "ß"]


def test_phones_are_looked_at_where_the_model_reads_phones():
    utterances = [Utterance(basename="a", text="Größe", phones="grøsə")]
    assert unknown_symbols(utterances, TABLE, RULES, level="phones") == {"ø": ["a"], "ə": ["a"]}


def test_list_without_the_wanted_level_is_explained():
    with pytest.raises(DataError, match="has no phones"):
        unknown_symbols([Utterance(basename="a", text="x")], TABLE, RULES, level="phones")

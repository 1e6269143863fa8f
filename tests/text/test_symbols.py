import json
import random

import pytest
import yaml

from retimbre.errors import TextError
from retimbre.text.normalise import TextRules, normalise
from retimbre.text.symbols import PAD, SymbolTable, everyvoice_symbols

LETTERS = "abcdefghijklmnopqrstuvwxyz"


def declared(shared, config):
    path = shared / "parity/everyvoice_project" / config / "everyvoice-shared-text.yaml"
    return yaml.safe_load(path.read_text())


def test_version_1_2_table_is_everyvoices(parity):
    theirs = json.loads((parity("fs2") / "meta.json").read_text())["symbols"]
    assert everyvoice_symbols(characters=LETTERS).symbols == tuple(theirs)


def test_version_1_2_table_of_a_whole_configuration_is_everyvoices(shared, parity):
    config = declared(shared, "project/config")
    symbols = config["symbols"]
    theirs = json.loads((parity("everyvoice_project") / "derived/symbol_tables.json").read_text())
    table = everyvoice_symbols(
        characters=symbols["ljmini_characters"],
        phones=symbols["ljmini_phones"],
        punctuation=symbols["punctuation"],
        silence=symbols["silence"],
        rules=TextRules(cleaners=tuple(config["cleaners"])),
    )
    assert table.symbols == tuple(theirs["symbols_1_2"])
    characters_only = everyvoice_symbols(characters=symbols["ljmini_characters"])
    assert characters_only.symbols == tuple(theirs["symbols_1_3"])


def test_stored_table_of_version_1_3_gives_everyvoices_ids(shared, parity):
    expected = json.loads((parity("everyvoice_project") / "expected/expected.json").read_text())
    table = SymbolTable(tuple(expected["symbols"]))
    rules = TextRules(cleaners=tuple(declared(shared, "project/config")["cleaners"]))
    assert len(expected["tokens"]) > 1
    for entry in expected["tokens"]:
        encoded = table.encode(normalise(entry["text"], rules))
        assert list(encoded.ids) == entry["ids"]


def test_longest_symbol_wins():
    table = SymbolTable((PAD, "s", "sh", "ʃ", "ɜ", "ɜ˞"))
    assert table.encode("shsɜ˞ɜ").symbols == ("sh", "s", "ɜ˞", "ɜ")


def test_unknown_symbols_are_returned_in_the_order_of_the_text():
    encoded = everyvoice_symbols(characters="uick").encode("Quick €5\n€")
    assert encoded.unknown == ("Q", "€", "5", "\n", "€")
    assert encoded.symbols == ("u", "i", "c", "k", " ")


def test_nothing_of_a_text_is_lost():
    table = everyvoice_symbols(characters=["a", "b", "ab", "é"])
    draw = random.Random(5)
    for _ in range(50):
        text = "".join(draw.choices("abéx .(*\x80\u0301", k=draw.randint(0, 30)))
        encoded = table.encode(text)
        assert sorted("".join(encoded.symbols + encoded.unknown)) == sorted(text)
        assert [table.symbols[row] for row in encoded.ids] == list(encoded.symbols)


def test_padding_symbol_in_a_text_is_unknown():
    assert everyvoice_symbols(characters="a").encode(f"a{PAD}").unknown == (PAD,)


def test_signs_of_regular_expressions_are_ordinary_symbols():
    table = SymbolTable((PAD, ".", "*", "[", "a|b"))
    assert table.encode("*.[a|b").unknown == ()
    assert table.encode("ab").unknown == ("a", "b")


def test_declared_symbols_are_cleaned_as_everyvoice_does():
    cleaned = everyvoice_symbols(characters="ABC", rules=TextRules(cleaners=("lower",)))
    assert cleaned == everyvoice_symbols(characters="abc")


def test_symbol_that_is_punctuation_and_character_is_refused_by_name():
    with pytest.raises(TextError, match="found '-', '\\?' as both"):
        everyvoice_symbols(characters="a?-")


def test_marks_of_versions_before_0_3_differ():
    table = everyvoice_symbols(characters="a", punctuation={"big_breaks": [".", ":"], "ellipsis": ["…"]})
    assert table.symbols == (
        *(PAD, " ", "<QUOTE>", "<EXCL>", "<QINT>", "<EPS>", "<SIL>", "<BB>", "<SB>", ".", ":", "a", "…"),
    )


def test_symbol_twice_in_a_table_is_refused():
    with pytest.raises(TextError, match="found 'a'"):
        SymbolTable((PAD, "a", "b", "a"))


def test_differences_name_moved_and_missing_rows():
    ours, theirs = SymbolTable((PAD, "a", "b", "c")), SymbolTable((PAD, "b", "d", "c"))
    assert ours.differences(theirs) == {"a": (1, None), "b": (2, 1), "d": (None, 2)}
    assert ours.differences(ours) == {}


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("a – b", "a — b"),
        ("‘a’ „b“", "'a' \"b\""),
        ("a\u00a0b\u2009a", "a b a"),
        ("a！ b‑a…", "a! b-a."),
        ("‹a›", '"a"'),
    ],
)
def test_a_mark_or_a_space_in_another_form_is_read_as_the_one_that_the_table_has(text, read):
    table = SymbolTable((PAD, *" \"'-—.!ab"))

    assert table.encode(text) == table.encode(read)
    assert table.encode(text).unknown == ()


def test_a_table_that_has_the_form_itself_reads_it_as_it_is():
    table = SymbolTable((PAD, *" -–'’ab"))

    assert table.encode("a–’").symbols == ("a", "–", "’")


def test_letters_and_digits_are_never_replaced():
    assert SymbolTable((PAD, *"a2'-")).encode("á²½•").unknown == ("á", "²", "½", "•")

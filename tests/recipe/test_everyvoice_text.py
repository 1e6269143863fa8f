"""Symbols in the order of EveryVoice's embedding rows."""

import json

import pytest

from retimbre.errors import RecipeError
from retimbre.recipe.everyvoice_files import read_project
from retimbre.recipe.everyvoice_schema import TextToSpec
from retimbre.recipe.everyvoice_text import symbol_table
from retimbre.recipe.read import read_recipe
from retimbre.text.symbols import label_of

MINIMAL = """\
contact: {{contact_name: A Name, contact_email: a@b.org}}
preprocessing:
  source_data: [{{label: a, permissions_obtained: true, data_dir: wavs, filelist: list.psv}}]
model: {{target_text_representation_level: {level}}}
text:
  symbols:
{symbols}
"""


@pytest.fixture
def write(tmp_path):
    def config(symbols, level="characters"):
        path = tmp_path / "everyvoice-text-to-spec.yaml"
        lines = "\n".join(f"    {line}" for line in symbols.splitlines())
        path.write_text(MINIMAL.format(level=level, symbols=lines), encoding="utf-8")
        return path

    return config


def test_the_table_is_the_one_that_the_project_was_trained_with(parity):
    folder = parity("everyvoice_project")
    expected = json.loads((folder / "expected/expected.json").read_text(encoding="utf-8"))["symbols"]
    recipe = read_recipe(folder / "project/config/everyvoice-text-to-spec.yaml")

    assert list(recipe.text.symbols) == expected
    assert recipe.text.level == "characters"


def test_both_tables_of_a_project_can_be_had(parity):
    folder = parity("everyvoice_project")
    tables = json.loads((folder / "derived/symbol_tables.json").read_text(encoding="utf-8"))
    merged = read_project(folder / "project/config/everyvoice-text-to-spec.yaml", ())
    text = TextToSpec.model_validate(merged.values).text

    assert list(symbol_table(text, "characters", merged).symbols) == tables["symbols_1_3"]
    both = symbol_table(text, "characters", merged, has_both_levels=True)
    assert list(both.symbols) == tables["symbols_1_2"]


def test_a_table_has_the_symbols_of_its_level_and_of_lists_without_one(write):
    symbols = "a_characters: [k, sch]\na_phones: [ʃ]\nothers: [§]\npad: '_'"
    letters = read_recipe(write(symbols)).text
    phones = read_recipe(write(symbols, "phones")).text

    assert {"k", "sch", "§", "_"} <= set(letters.symbols)
    assert "ʃ" not in letters.symbols
    assert {"ʃ", "§"} <= set(phones.symbols)
    assert "sch" not in phones.symbols
    assert (phones.level, phones.g2p) == ("phones", "own")
    assert letters.symbols[:2] == ("\x80", " ")


def test_symbols_are_cleaned_as_their_data_set_is(write):
    path = write("a_characters: [A, ' ']\nb_characters: [B]")
    overrides = ["text.dataset_cleaners={a: [everyvoice.utils.lower, everyvoice.utils.strip_text]}"]
    table = read_recipe(path, overrides).text.symbols

    assert "a" in table
    assert "A" not in table
    assert "B" in table
    assert "" not in table


def test_punctuation_of_the_first_versions_has_their_defaults_and_tags(write):
    symbols = "punctuation: {big_breaks: ['.', '|'], ellipsis: […]}\na_characters: [a]"
    table = read_recipe(write(symbols)).text.symbols

    assert {"<BB>", "<SB>", "|", ",", "—"} <= set(table)
    assert not {"<PERIOD>", "(", "*", ":"} & set(table)


def test_punctuation_of_two_versions_is_refused(write):
    with pytest.raises(
        RecipeError, match="line 7: the punctuation is of two versions.*found big_breaks beside"
    ):
        read_recipe(write("punctuation: {big_breaks: ['.'], commas: [',']}"))


@pytest.mark.parametrize("symbols", ["a_characters: [a, '.']", "a_phones: ['.']", "silence: ['.']"])
def test_a_symbol_in_punctuation_and_elsewhere_is_refused(write, symbols):
    with pytest.raises(
        RecipeError, match=r"line 7: a symbol is in '\w+' and in punctuation.*'\.' in \w+ and in"
    ):
        read_recipe(write(symbols))


@pytest.mark.parametrize("symbols", ["a_characters: [a, 1]", "a_characters: abc", "a_characters: [no]"])
def test_what_is_no_list_of_texts_is_refused(write, symbols):
    with pytest.raises(RecipeError, match=r"line 7: 'text\.symbols\.a_characters' is no list of symbols"):
        read_recipe(write(symbols))


def test_a_misspelt_kind_of_punctuation_is_named(write):
    with pytest.raises(RecipeError, match=r"line 7: unknown key '.*\.comas'.*Write 'commas: "):
        read_recipe(write("punctuation: {comas: [',']}"))


def test_a_rule_that_makes_no_sense_is_named(write):
    with pytest.raises(RecipeError, match=r"the replacement of '\(' by 'b' makes no sense"):
        read_recipe(write("a_characters: [a]"), ["text.to_replace={'(': b}"])


@pytest.mark.parametrize(
    ("name", "label"), [("a_b_characters", "a_b"), ("x_phones", "x"), ("_phones", None), ("ipa", None)]
)
def test_a_list_belongs_to_the_data_set_in_its_name(name, label):
    assert label_of(name) == label

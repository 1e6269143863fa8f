"""What a recipe without a base describes."""

from dataclasses import replace

import pytest

from retimbre.audio.mel import mel_librosa
from retimbre.data.coverage import read_utterance
from retimbre.data.stats import Stat, Stats
from retimbre.data.store import Store
from retimbre.data.utterance import Utterance
from retimbre.errors import RecipeError
from retimbre.models.description import Description
from retimbre.models.fastspeech2.config import Level
from retimbre.models.fastspeech2.model import FastSpeech2
from retimbre.recipe.recipe import Data, DataSet, Recipe, Text, TextToSpecModel
from retimbre.text.split import Boundaries, Splitting
from retimbre.text.symbols import PAD
from retimbre.training.material import Material
from retimbre.training.new_models import new_text_to_spec

STAT = Stat(mean=10.0, std=2.0, min=4.0, max=20.0, n=3)
UTTERANCES = (
    Utterance(basename="a", text="Ab", speaker="zoe", language="eng", label="one"),
    Utterance(basename="b", text="Ab", speaker="ann", language="fra", label="two"),
    Utterance(basename="c", text="Ab", speaker="ann", language="tlh", label="one"),
)


@pytest.fixture
def material(tmp_path):
    return Material(
        store=Store(tmp_path),
        mel=mel_librosa(n_mels=20),
        training=UTTERANCES[:1],
        validation=UTTERANCES[1:2],
        held_out=UTTERANCES[2:],
        left_out=(),
        stats=Stats(pitch=STAT, energy=STAT),
    )


def recipe_with(tmp_path, *, text=None, sizes=None, more=()):
    data = Data(label="one", recordings=tmp_path, filelist=tmp_path, more=more)
    return Recipe(
        stage="text-to-spec",
        data=data,
        text=Text(**(text or {})),
        text_to_spec=TextToSpecModel.model_validate({"dim": 8, "feedforward_dim": 8, **(sizes or {})}),
    )


def test_every_size_arrives(material, tmp_path):
    sizes = {
        "n_layers": 2,
        "n_heads": 4,
        "kernel": 7,
        "dropout": 0.1,
        "level": "phone",
        "has_postnet": True,
        "learns_alignment": False,
        "decoder": {"n_layers": 1, "kernel": 5},
        "duration": {"n_layers": 3, "kernel": 5, "dropout": 0.2, "is_depthwise": False},
        "pitch": {"n_layers": 1, "n_bins": 9, "level": "frame"},
        "energy": {"n_layers": 2, "n_bins": 7},
    }
    config, description = new_text_to_spec(recipe_with(tmp_path, sizes=sizes), material)
    encoder, decoder, duration = config.encoder, config.decoder, config.duration

    assert (encoder.n_layers, encoder.n_heads, encoder.kernel, encoder.dropout) == (2, 4, 7, 0.1)
    assert decoder == replace(encoder, n_layers=1, kernel=5)
    assert (duration.n_layers, duration.kernel, duration.dropout, duration.is_depthwise) == (3, 5, 0.2, False)
    assert (config.pitch.n_layers, config.n_pitch_bins, config.pitch_level) == (1, 9, Level.FRAME)
    assert (config.energy.n_layers, config.n_energy_bins, config.energy_level) == (2, 7, Level.PHONE)
    assert config.pitch_range == (-3.0, 5.0)
    assert config.postnet_dim
    assert not config.learns_alignment
    assert (config.n_speakers, config.n_languages) == (None, None)
    assert description.speakers == ("default",)
    FastSpeech2(config)


def test_speakers_and_languages_have_rows_in_the_order_of_their_names(material, tmp_path):
    sizes = {"has_speakers": True, "has_languages": True}
    config, description = new_text_to_spec(recipe_with(tmp_path, sizes=sizes), material)

    assert (config.n_speakers, config.n_languages) == (2, 3)
    assert description.speakers == ("ann", "zoe")
    assert description.languages == ("eng", "fra", "tlh")


def test_a_table_of_symbols_is_taken_as_it_is(material, tmp_path):
    symbols = (PAD, " ", "tʃ", "b", "a")
    text = {"symbols": symbols, "level": "phones"}
    config, description = new_text_to_spec(recipe_with(tmp_path, text=text), material)

    assert description.symbols == symbols
    assert config.n_symbols == 5
    assert description.text_level == "phones"
    assert description.g2p == {}


def test_a_table_without_padding_is_refused(material, tmp_path):
    with pytest.raises(RecipeError, match=r"text\.symbols does not begin with padding"):
        new_text_to_spec(recipe_with(tmp_path, text={"symbols": ("a", "b")}), material)


def test_own_rules_are_those_of_each_language_that_has_some(material, tmp_path):
    text = {"phones": ("a", "b"), "g2p": "own"}
    _, description = new_text_to_spec(recipe_with(tmp_path, text=text), material)

    assert description.g2p == {"eng": "eng", "fra": "fra"}
    assert description.reading.engine("tlh") is None  # its texts must be given as phones


RULES = {
    "cleaners": ("strip_text",),
    "to_replace": {"b": "common"},
    "language_cleaners": {"fra": ("lower",), "tlh": ("lower",)},
    "language_to_replace": {"tlh": {"b": "klingon"}},
    "dataset_cleaners": {"two": ()},
    "dataset_to_replace": {"one": {"b": "one"}},
}


def test_a_data_sets_rules_come_before_a_languages_and_those_before_the_common_ones(material, tmp_path):
    more = (DataSet(label="two", recordings=tmp_path, filelist=tmp_path),)
    _, description = new_text_to_spec(recipe_with(tmp_path, text=RULES, more=more), material)
    kept = Description.from_dict(description.to_dict())
    read = {u.basename: read_utterance(u, kept.reading).text for u in UTTERANCES}

    assert read == {"a": "Aone", "b": "Acommon", "c": "aone"}
    assert kept.reading.of("Ab", language="tlh").text == "aklingon"  # of no data set


def test_the_rules_of_the_only_data_set_are_those_of_every_text(material, tmp_path):
    _, description = new_text_to_spec(recipe_with(tmp_path, text=RULES), material)

    assert description.reading.of("Ab ", language="tlh").text == "aone "
    assert description.reading.of("Ab ", language="eng").text == "Aone"


def test_where_long_texts_are_cut_is_kept_in_the_description(material, tmp_path):
    text = {"split_text": False, "boundaries": {"hin": {"strong": "।", "weak": ","}}}
    _, description = new_text_to_spec(recipe_with(tmp_path, text=text), material)
    kept = Description.from_dict(description.to_dict())

    expected = Splitting(is_on=False, boundaries={"hin": Boundaries(strong="।", weak=",")})
    assert kept.splitting == description.splitting == expected


def test_rules_of_a_language_are_not_for_phones_that_a_list_gives(material, tmp_path):
    text = {"phones": ("A", "b"), "language_to_replace": {"eng": {"A": "b"}}, "dataset_to_replace": {}}
    _, description = new_text_to_spec(recipe_with(tmp_path, text=text), material)
    given = Utterance(basename="a", text="A", phones="A b", language="eng")

    assert read_utterance(given, description.reading).text == "a b"  # lower is a common cleaner

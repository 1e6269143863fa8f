"""A description survives every journey."""

import json

import pytest

from retimbre.audio.mel import everyvoice_mel
from retimbre.data.stats import Stat, Stats
from retimbre.errors import CheckpointError
from retimbre.models.assumptions import sentence
from retimbre.models.description import Description, sizes_of
from retimbre.models.hifigan.config import GeneratorConfig
from retimbre.text.normalise import TextRules


@pytest.fixture
def description():
    return Description(
        family="fastspeech2",
        sizes={"n_symbols": 3, "encoder": {"dim": 32}, "rates": [8, 8]},
        spectrogram=everyvoice_mel(n_mels=40, hop_samples=128),
        symbols=("\x80", " ", "ŋ", '"'),
        text_rules=TextRules(to_replace={r"\s-": "—"}, cleaners=("lower",)),
        speakers=("Ann", "José"),
        languages=("eng", "moh"),
        stats=Stats(
            pitch=Stat(mean=200.5, std=31.0, min=71.0, max=402.0, n=7),
            energy=Stat(mean=46.0, std=8.5, min=26.0, max=74.0, n=7),
        ),
        output_sample_rate_hz=44100,
        step=1234,
        is_exported=True,
        assumed=(sentence("heads", "2 attention heads"),),
        lineage={"contact": {"name": "Ann"}},
    )


def test_a_description_is_the_same_after_a_journey_through_json(description):
    assert Description.from_dict(json.loads(json.dumps(description.to_dict()))) == description


def test_a_description_without_voice_is_the_same_too(description):
    plain = Description(family="hifigan", sizes=sizes_of(GeneratorConfig()), spectrogram=description.mel)
    assert Description.from_dict(json.loads(json.dumps(plain.to_dict()))) == plain


def test_assumptions_that_an_older_file_holds_as_sentences_are_read(description):
    older = description.to_dict() | {"assumed": ["2 attention heads"]}
    assert list(map(str, Description.from_dict(older).assumed)) == ["2 attention heads"]


def test_a_family_without_a_spectrogram_says_so():
    ranker = Description(family="tortoise_clvp", sizes={})
    assert Description.from_dict(ranker.to_dict()) == ranker
    with pytest.raises(CheckpointError, match="tortoise_clvp neither writes nor reads a spectrogram"):
        _ = ranker.mel


def test_sizes_are_as_json_gives_them_back():
    sizes = sizes_of(GeneratorConfig())
    assert sizes == json.loads(json.dumps(sizes))
    assert sizes["upsample_rates"] == [8, 8, 2, 2]


def test_a_newer_description_is_refused(description):
    with pytest.raises(CheckpointError, match="format_version 1, found 2"):
        Description.from_dict(description.to_dict() | {"format_version": 2})


@pytest.mark.parametrize(
    "damage",
    [{"mel": {}}, {"symbols": None}, {"stats": {"pitch": 1}}, {"text_rules": {"to_replace": {"(": ""}}}],
)
def test_a_damaged_description_is_our_error(description, damage):
    with pytest.raises(CheckpointError, match="damaged"):
        Description.from_dict(description.to_dict() | damage)


def test_a_missing_field_is_our_error(description):
    values = description.to_dict()
    del values["speakers"]
    with pytest.raises(CheckpointError, match="damaged"):
        Description.from_dict(values)

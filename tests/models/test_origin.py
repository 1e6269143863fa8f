"""What plain values say about a model, whoever wrote them."""

import json
from pathlib import Path

import pytest
import torch

from retimbre.audio.mel import everyvoice_mel, mel_librosa
from retimbre.checkpoint.lazy import LazyTensors
from retimbre.checkpoint.read import Contents
from retimbre.errors import CheckpointError
from retimbre.models.description import Description
from retimbre.models.fastspeech2 import FASTSPEECH2
from retimbre.models.hifigan import HIFIGAN
from retimbre.models.origin import origin_of
from retimbre.text.split import Splitting, split_text

AUDIO = {
    "input_sampling_rate": 16000, "output_sampling_rate": 16000, "n_fft": 512, "fft_window_size": 400,
    "fft_hop_size": 160, "f_min": 20, "f_max": 7000, "n_mels": 40, "spec_type": "mel-librosa",
}  # fmt: skip


def everyvoice(audio, *, text=None, more=None, **known):
    config = {"preprocessing": {"audio": audio}} | ({"text": text} if text is not None else {}) | (more or {})
    values = {"hyper_parameters": {"config": config, **known}, "global_step": 12}
    contents = Contents(
        path=Path("a.ckpt"), container="torch-zip", tensors=LazyTensors.in_memory({}), values=values
    )
    return origin_of(contents, HIFIGAN if text is None else FASTSPEECH2)


@pytest.mark.parametrize(("kind", "build"), [("mel-librosa", mel_librosa), ("mel", everyvoice_mel)])
def test_the_spectrogram_of_everyvoice_is_read_from_its_configuration(kind, build):
    sizes = {
        "sample_rate_hz": 16000, "n_fft_samples": 512, "window_samples": 400, "hop_samples": 160,
        "low_hz": 20.0, "high_hz": 7000.0, "n_mels": 40,
    }  # fmt: skip
    origin = everyvoice(AUDIO | {"spec_type": kind})
    assert origin.facts["spectrogram"] == build(**sizes)
    assert origin.facts["output_sample_rate_hz"] is None
    assert origin.assumed == ()


def test_the_words_of_2023_mean_the_same():
    older = {name.replace("_size", "_frames"): value for name, value in AUDIO.items()}
    assert everyvoice(older).facts["spectrogram"] == everyvoice(AUDIO).facts["spectrogram"]


def test_what_the_configuration_leaves_out_is_a_stated_assumption():
    partial = {name: value for name, value in AUDIO.items() if name not in ("fft_hop_size", "f_min")}
    (assumption,) = everyvoice(partial).assumed
    assert str(assumption).startswith("the spectrogram's hop_samples, low_hz")


def test_a_vocoder_may_speak_at_another_rate_than_it_listens():
    assert everyvoice(AUDIO | {"output_sampling_rate": 32000}).facts["output_sample_rate_hz"] == 32000


def test_names_stand_in_the_order_of_their_rows():
    origin = everyvoice(AUDIO, text={}, speaker2id={"zoë": 0, "ann": 2, "max": 1}, lang2id={})
    assert origin.facts["speakers"] == ("zoë", "max", "ann")
    assert origin.facts["languages"] == ("default",)


def test_a_stored_symbol_table_is_taken_as_it_is():
    origin = everyvoice(AUDIO, text={"symbols": {"x_characters": ["a"]}}, realized_symbols=["\x80", "b", " "])
    assert origin.facts["symbols"] == ("\x80", "b", " ")


DECLARED = {
    "x_characters": ["b", "a"],
    "x_phones": ["ts", "a"],
    "mine": ["q"],
    "silence": ["<SIL>"],
    "pad": None,
}


def symbols_of(version, *, symbols=DECLARED, level="characters", tensors=None, **text):
    info = {"name": "FastSpeech2"} | ({"version": version} if version else {})
    model = {"target_text_representation_level": level}
    config = {"preprocessing": {"audio": AUDIO}, "model": model, "text": {"symbols": symbols, **text}}
    values = {"hyper_parameters": {"config": config}, "model_info": info}
    contents = Contents(
        path=Path("a.ckpt"),
        container="torch-zip",
        tensors=LazyTensors.in_memory(tensors or {}),
        values=values,
    )
    return origin_of(contents, FASTSPEECH2)


def test_up_to_1_2_a_table_is_made_of_all_lists_without_doubles():
    found = symbols_of("1.2").facts["symbols"]
    assert found[:2] == ("\x80", " ")
    assert found.index("ts") < found.index("!") < found.index("a") < found.index("b")
    assert len(set(found)) == len(found)
    assert {"<PERIOD>", "<COMMA>", "<PAREN>", "{", "q"} < set(found)


@pytest.mark.parametrize(("level", "has"), [("characters", "b"), ("phones", "ts")])
def test_from_1_3_a_table_is_made_of_the_lists_of_its_level(level, has):
    assert {"b", "ts"} & set(symbols_of("1.3", level=level).facts["symbols"]) == {has}
    assert {"a", "q", "<SIL>"} < set(symbols_of("1.3", level=level).facts["symbols"])


@pytest.mark.parametrize("version", [None, "1.0", "1.1"])
def test_before_1_2_tags_and_punctuation_are_the_old_ones(version):
    found = symbols_of(version).facts["symbols"]
    assert found[2:9] == ("<QUOTE>", "<EXCL>", "<QINT>", "<EPS>", "<SIL>", "<BB>", "<SB>")
    assert not {"{", "*", "<PERIOD>"} & set(found)
    assert found[9:11] == ("ts", "!")


def test_before_symbols_were_normalised_the_number_of_rows_shows_it():
    given = {"symbols": {"x_characters": ["A", "a"]}, "cleaners": ["everyvoice.utils.lower"]}
    merged = symbols_of("1.0", **given).facts["symbols"]
    table = {"text_input_layer.weight": torch.randn(len(merged) + 1, 4)}
    assert "A" not in merged
    assert "A" in symbols_of("1.0", tensors=table, **given).facts["symbols"]


def test_a_model_of_phones_that_is_given_letters_finds_phones_as_everyvoice_does():
    text = {"g2p_engines": {"fra": "os.system"}}
    config = {"model": {"target_text_representation_level": "phones"}}
    known = {"lang2id": {"eng": 0, "fra": 1, "xxx": 2}}
    origin = everyvoice(AUDIO, text=text, more=config, **known)
    assert origin.facts["g2p"] == {"eng": "eng"}
    (assumption,) = origin.assumed
    assert str(assumption) == "texts in fra come as phones: the trainer's own code made them"
    assert everyvoice(AUDIO, text=text, **known).facts["g2p"] == {}


RULES = json.loads(
    (Path(__file__).parents[1] / "fixtures/everyvoice/text_rules.json").read_text(encoding="utf-8")
)


def described(text, **known):
    facts = everyvoice(AUDIO, text=text, **known).facts
    del facts["step"], facts["lineage"]
    return Description(family="fastspeech2", sizes={}, **facts)


def test_texts_are_read_by_the_rules_of_their_language_and_data_set_as_everyvoice_reads_them():
    reading = described(RULES["text"], lang2id={"eng": 0, "fra": 1, "hin": 2, "tlh": 3}).reading

    assert len({row[3] for row in RULES["normalised"]}) > 10
    for text, language, label, expected in RULES["normalised"]:
        assert reading.of(text, language=language, label=label).text == expected, (language, label)
    assert everyvoice(AUDIO, text=RULES["text"]).assumed == ()


def test_long_texts_are_cut_after_the_signs_that_a_checkpoint_was_trained_with():
    found = described(RULES["text"])
    kept = Description.from_dict(found.to_dict())

    assert found.splitting.is_on
    assert kept.splitting == found.splitting
    for text, language, desired, longest, pieces in RULES["pieces"]:
        boundaries = kept.splitting.boundaries[language]
        cut = split_text(text, desired=desired, longest=longest, boundaries=boundaries)
        assert list(cut) == pieces
    assert not described({**RULES["text"], "split_text": False}).splitting.is_on
    assert described({}).splitting == Splitting()


def test_a_trainers_own_cleaner_of_a_language_is_a_stated_assumption():
    text = {"language_cleaners": {"fra": ["mine.shout", "everyvoice.utils.lower"]}}
    origin = everyvoice(AUDIO, text=text)

    assert origin.facts["special_rules"].language_cleaners == {"fra": ("lower",)}
    (assumption,) = origin.assumed
    assert str(assumption) == "text without the cleaners mine.shout, which are the trainer's own code"


@pytest.mark.parametrize(
    "text",
    [
        {"language_to_replace": {"fra": {"(": "x"}}},
        {"dataset_to_replace": {"a": 5}},
        {"dataset_cleaners": ["everyvoice.utils.lower"]},
    ],
)
def test_rules_that_make_no_sense_are_an_error_of_ours(text):
    with pytest.raises(CheckpointError, match="text rules in the file make no sense"):
        everyvoice(AUDIO, text=text)


def test_a_newer_version_than_we_know_is_a_stated_assumption():
    assert any("model version 1.4" in str(assumption) for assumption in symbols_of("1.4").assumed)
    assert symbols_of("1.3").assumed == ()


def test_features_are_made_for_every_symbol_with_the_punctuation_that_was_declared():
    declared = DECLARED | {"punctuation": {"exclamations": ["!", "§"], "periods": ["."]}}
    origin = symbols_of("1.3", symbols=declared, level="phonological_features")
    symbols, features = origin.facts["symbols"], origin.symbol_features
    assert origin.facts["text_level"] == "phones"
    assert features.shape == (len(symbols), 43)
    assert features[symbols.index("!")].equal(features[symbols.index("§")])
    assert features[symbols.index("!")].sum() == 1
    assert symbols_of("1.3").symbol_features is None


@pytest.mark.parametrize(
    "damage",
    [{"punctuation": {"periods": 5}}, {"silence": [["x"]]}, {"punctuation": {"periods": [{}]}}, {"x": [1]}],
)
def test_symbols_that_make_no_sense_are_our_error(damage):
    with pytest.raises(CheckpointError, match="make no sense"):
        symbols_of("1.3", symbols=DECLARED | damage, level="phonological_features")


@pytest.mark.parametrize("version", ["9" * 5000, "newest", "1.", 7, {}])
def test_a_strange_version_is_read_as_some_version(version):
    assert symbols_of(version).facts["symbols"]


def test_features_from_before_1_2_are_refused():
    with pytest.raises(CheckpointError, match=r"meant something else.*found model version 1\.1"):
        symbols_of("1.1", level="phonological_features")


def test_a_cleaner_of_somebody_else_is_never_imported_and_said_to_be_missing():
    origin = everyvoice(AUDIO, text={"cleaners": ["everyvoice.utils.lower", "os.system"]})
    assert origin.facts["text_rules"].cleaners == ("lower",)
    assert any("os.system" in str(assumption) for assumption in origin.assumed)


def test_incomplete_statistics_are_no_reason_to_refuse_a_model():
    origin = everyvoice(AUDIO, text={}, stats={"pitch": {"mean": 1.0}, "energy": None})
    assert origin.facts["stats"] is None
    assert any("no statistics" in str(assumption) for assumption in origin.assumed)

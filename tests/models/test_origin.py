"""What plain values say about a model, whoever wrote them."""

from pathlib import Path

import pytest

from retimbre.audio.mel import everyvoice_mel, mel_librosa
from retimbre.checkpoint.read import Contents
from retimbre.models.origin import origin_of

AUDIO = {
    "input_sampling_rate": 16000, "output_sampling_rate": 16000, "n_fft": 512, "fft_window_size": 400,
    "fft_hop_size": 160, "f_min": 20, "f_max": 7000, "n_mels": 40, "spec_type": "mel-librosa",
}  # fmt: skip


def everyvoice(audio, *, text=None, **known):
    config = {"preprocessing": {"audio": audio}} | ({"text": text} if text is not None else {})
    values = {"hyper_parameters": {"config": config, **known}, "global_step": 12}
    return origin_of(Contents(path=Path("a.ckpt"), container="torch-zip", tensors={}, values=values))


@pytest.mark.parametrize(("kind", "build"), [("mel-librosa", mel_librosa), ("mel", everyvoice_mel)])
def test_the_spectrogram_of_everyvoice_is_read_from_its_configuration(kind, build):
    sizes = {
        "sample_rate_hz": 16000, "n_fft_samples": 512, "window_samples": 400, "hop_samples": 160,
        "low_hz": 20.0, "high_hz": 7000.0, "n_mels": 40,
    }  # fmt: skip
    origin = everyvoice(AUDIO | {"spec_type": kind})
    assert origin.facts["mel"] == build(**sizes)
    assert origin.facts["output_sample_rate_hz"] is None
    assert origin.assumed == ()


def test_the_words_of_2023_mean_the_same():
    older = {name.replace("_size", "_frames"): value for name, value in AUDIO.items()}
    assert everyvoice(older).facts["mel"] == everyvoice(AUDIO).facts["mel"]


def test_what_the_configuration_leaves_out_is_a_stated_assumption():
    partial = {name: value for name, value in AUDIO.items() if name not in ("fft_hop_size", "f_min")}
    (sentence,) = everyvoice(partial).assumed
    assert sentence.startswith("the spectrogram's hop_samples, low_hz")


def test_a_vocoder_may_speak_at_another_rate_than_it_listens():
    assert everyvoice(AUDIO | {"output_sampling_rate": 32000}).facts["output_sample_rate_hz"] == 32000


def test_names_stand_in_the_order_of_their_rows():
    origin = everyvoice(AUDIO, text={}, speaker2id={"zoë": 0, "ann": 2, "max": 1}, lang2id={})
    assert origin.facts["speakers"] == ("zoë", "max", "ann")
    assert origin.facts["languages"] == ("default",)


def test_a_stored_symbol_table_is_taken_as_it_is():
    origin = everyvoice(AUDIO, text={"symbols": {"x_characters": ["a"]}}, realized_symbols=["\x80", "b", " "])
    assert origin.facts["symbols"] == ("\x80", "b", " ")


def test_without_a_stored_table_it_is_made_of_all_lists():
    symbols = {"x_characters": ["b", "a"], "x_phones": ["ts", "a"], "silence": ["<SIL>"], "pad": None}
    found = everyvoice(AUDIO, text={"symbols": symbols}).facts["symbols"]
    assert found[:2] == ("\x80", " ")
    assert found.index("ts") < found.index("!") < found.index("a") < found.index("b")
    assert len(set(found)) == len(found)


def test_a_cleaner_of_somebody_else_is_never_imported_and_said_to_be_missing():
    origin = everyvoice(AUDIO, text={"cleaners": ["everyvoice.utils.lower", "os.system"]})
    assert origin.facts["text_rules"].cleaners == ("lower",)
    assert any("os.system" in sentence for sentence in origin.assumed)


def test_incomplete_statistics_are_no_reason_to_refuse_a_model():
    origin = everyvoice(AUDIO, text={}, stats={"pitch": {"mean": 1.0}, "energy": None})
    assert origin.facts["stats"] is None
    assert any("no statistics" in sentence for sentence in origin.assumed)

"""Whole files of EveryVoice 0.5.0 with style tokens, phonological features, several speakers and languages.

The numbers are described in tests/fixtures/everyvoice/README.md.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from retimbre.models.fastspeech2.batch import Item, collate, reference_batch, text_batch
from retimbre.models.fastspeech2.config import StyleSizes
from retimbre.models.load import Loaded, load_model, save_model
from retimbre.text.symbols import SymbolTable

FIXTURES = Path(__file__).parents[2] / "fixtures" / "everyvoice"
FOLDERS = ["fs2_style", "fs2_features", "fs2_many"]
UTTERANCES = [0, 1, 2]
LOUD = 4.0  # padding of a spec: whatever is there must not matter


@dataclass(frozen=True)
class Reference:
    """One of the folders: the model in its file, and EveryVoice's tensors."""

    loaded: Loaded
    tensors: dict
    meta: dict

    @property
    def network(self):
        return self.loaded.model

    def item(self, number):
        given = {name: self.tensors[f"u{number}_in_{name}"][0] for name in ("text", "mel", "pitch", "energy")}
        return Item(
            symbols=given["text"].long(),
            spec=given["mel"].T,
            pitch=given["pitch"],
            energy=given["energy"],
            **self.voice(number),
        )

    def voice(self, number):
        return {name: int(self.tensors[f"u{number}_in_{name}_id"]) for name in ("speaker", "language")}

    def of(self, number, mode):
        start = f"u{number}_{mode}_"
        found = {name.removeprefix(start): t[0] for name, t in self.tensors.items() if name.startswith(start)}
        return {name: tensor for name, tensor in found.items() if not name.startswith("style_")}


def reference_of(name):
    folder = FIXTURES / name
    meta = json.loads((folder / "meta.json").read_text())
    return Reference(load_model(folder / "model.ckpt"), load_file(folder / "io.safetensors"), meta)


@pytest.fixture(scope="module", params=FOLDERS)
def reference(request):
    return reference_of(request.param)


@pytest.fixture(scope="module")
def style():
    return reference_of("fs2_style")


@pytest.fixture(scope="module")
def features():
    return reference_of("fs2_features")


def as_everyvoice_says(spoken):
    return {
        "output": spoken.spec,
        "durations": spoken.durations,
        "pitch_prediction": spoken.pitch,
        "energy_prediction": spoken.energy,
    }


def of_training(output):
    return {
        "output": output.spec,
        "durations": output.prosody.timing.durations,
        "duration_prediction": output.prosody.log_durations,
        "pitch_prediction": output.prosody.pitch,
        "energy_prediction": output.prosody.energy,
    }


def assert_same(found, expected, row=0):
    for name, values in found.items():
        theirs = expected[name]
        ours = values[row, : len(theirs)].to(theirs.dtype)
        tolerance = 0.0 if name == "durations" else 1e-4
        torch.testing.assert_close(ours, theirs, atol=tolerance, rtol=0)


def spoken_from(item):
    return {"speaker": [item.speaker], "language": [item.language]}


def test_the_file_says_what_its_model_is(reference):
    description = reference.loaded.description
    assert list(description.symbols) == reference.meta["symbols"]
    assert list(description.speakers) == list(reference.meta["speakers"])
    assert list(description.languages) == list(reference.meta["languages"])
    assert description.assumed == ()
    assert reference.network.config.n_symbols == len(description.symbols)


@pytest.mark.parametrize("number", UTTERANCES)
@torch.no_grad()
def test_every_mode_gives_the_reference(reference, number):
    network, item = reference.network, reference.item(number)
    batch = collate([item], LOUD)

    assert_same(of_training(network(batch)), reference.of(number, "train"))
    assert_same(as_everyvoice_says(network.teacher_force(batch)), reference.of(number, "teacher"))
    spoken = network.speak(text_batch([item.symbols.tolist()], **spoken_from(item)))
    assert_same(as_everyvoice_says(spoken), reference.of(number, "infer"))


@torch.no_grad()
def test_in_one_batch_every_utterance_is_as_alone(reference):
    items = [reference.item(number) for number in UTTERANCES]
    batch = collate(items, LOUD)

    in_training, forced = reference.network(batch), reference.network.teacher_force(batch)
    spoken = reference.network.speak(batch.text)

    for number in UTTERANCES:
        assert_same(of_training(in_training), reference.of(number, "train"), row=number)
        assert_same(as_everyvoice_says(forced), reference.of(number, "teacher"), row=number)
        assert_same(as_everyvoice_says(spoken), reference.of(number, "infer"), row=number)


@torch.no_grad()
def test_a_model_that_was_saved_speaks_the_same_when_loaded_again(reference, tmp_path):
    first = reference.loaded
    second = load_model(save_model(tmp_path / "again", first.model, first.description))

    assert second.description == first.description
    text = text_batch([[3, 1, 4, 1, 5]])
    assert second.model.speak(text).spec.equal(first.model.speak(text).spec)


# ---- style tokens


@torch.no_grad()
def test_a_reference_recording_gives_its_style_to_what_is_spoken(style):
    spec = style.tensors["style_reference"][0].T
    items = [style.item(number) for number in UTTERANCES]
    longer = torch.cat([spec, torch.full((len(spec), 9), LOUD)], dim=1)

    for number, item in zip(UTTERANCES, items, strict=True):
        spoken = style.network.speak(text_batch([item.symbols.tolist()]), reference=reference_batch([spec]))
        assert_same(as_everyvoice_says(spoken), style.of(number, "infer_style"))
    together = style.network.speak(collate(items, LOUD).text, reference=reference_batch([spec, spec, spec]))
    assert_same(as_everyvoice_says(together), style.of(2, "infer_style"), row=2)
    other = style.network.gst(longer.T[None], torch.tensor([46]))
    assert (other - style.tensors["style_of_reference"]).abs().max() > 1e-3


@torch.no_grad()
def test_teacher_forcing_follows_the_style_of_another_recording_where_one_is_given(style):
    expected = load_file(FIXTURES / "fs2_style" / "teacher_style.safetensors")
    spec = style.tensors["style_reference"][0].T
    items = [style.item(number) for number in UTTERANCES]
    forced = style.network.teacher_force(collate(items, LOUD), reference=reference_batch([spec] * len(items)))

    for number in UTTERANCES:
        start = f"u{number}_teacher_style_"
        of_number = {name.removeprefix(start): t[0] for name, t in expected.items() if name.startswith(start)}
        assert_same(as_everyvoice_says(forced), of_number, row=number)
        own = style.of(number, "teacher")["output"]
        assert (of_number["output"] - own).abs().max() > 1


@torch.no_grad()
def test_the_style_of_a_recording_and_of_none_are_everyvoices(style):
    spec = style.tensors["style_reference"]
    found = style.network.gst(spec, torch.tensor([spec.shape[1]]))
    torch.testing.assert_close(found, style.tensors["style_of_reference"], atol=1e-5, rtol=0)
    nothing = style.network.gst.without_reference(1)
    torch.testing.assert_close(nothing, style.tensors["style_of_nothing"], atol=1e-5, rtol=0)


def test_the_sizes_of_the_style_tokens_are_recovered(style):
    assert style.network.config.style == StyleSizes(
        n_tokens=5, n_heads=4, channels=(4, 4, 6, 6, 8, 8), summary_dim=16
    )


# ---- phonological features


@pytest.mark.parametrize("name", ["fs2_features", "fs2_many"])
@pytest.mark.parametrize("number", range(3))
@torch.no_grad()
def test_a_text_is_spoken_as_everyvoice_speaks_it(name, number):
    reference = reference_of(name)
    description = reference.loaded.description
    encoded = SymbolTable(description.symbols).encode(
        description.reading.of_phones(reference.meta["texts"][number]).text
    )
    assert encoded.ids == tuple(reference.tensors[f"t{number}_in_text"][0].tolist())

    spoken = reference.network.speak(text_batch([encoded.ids], **in_the_voice(reference)))

    assert spoken.durations.equal(reference.tensors[f"t{number}_infer_durations"].long())
    torch.testing.assert_close(spoken.spec, reference.tensors[f"t{number}_infer_output"], atol=1e-4, rtol=0)


def in_the_voice(reference):
    """Texts were spoken by the voice of the first utterance."""
    return {name: [row] for name, row in reference.voice(0).items()}


def test_what_the_network_reads_of_a_symbol_are_everyvoices_features(features):
    table = features.network.text_input_layer.features
    for start in ("u", "t"):
        for number in range(3):
            ids, expected = (features.tensors[f"{start}{number}_in_{name}"][0] for name in ("text", "pfs"))
            torch.testing.assert_close(table[ids.long()], expected, atol=1e-6, rtol=0)


def test_a_model_of_features_reads_phones(features):
    assert features.loaded.description.text_level == "phones"
    assert features.loaded.description.g2p == {"eng": "eng"}
    assert features.network.config.n_features == 43
    assert features.network.text_input_layer.weight.shape == (32, 43)


def test_without_its_stored_symbols_a_model_of_features_has_those_that_were_declared(features, tmp_path):
    saved = torch.load(FIXTURES / "fs2_features" / "model.ckpt", weights_only=True)
    del saved["hyper_parameters"]["realized_symbols"]
    torch.save(saved, tmp_path / "without.ckpt")
    assert load_model(tmp_path / "without.ckpt").description == features.loaded.description

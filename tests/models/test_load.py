"""Files of others and our own become ready models, strictly and with the same numbers."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from retimbre.audio.mel import Centring, hifigan_original, mel_librosa
from retimbre.checkpoint.read import read, read_tensor
from retimbre.checkpoint.write import write_safetensors
from retimbre.errors import CheckpointError, UnknownFamily
from retimbre.models.assumptions import sentence
from retimbre.models.description import Description, sizes_of
from retimbre.models.fastspeech2.batch import text_batch
from retimbre.models.hifigan.config import GeneratorConfig
from retimbre.models.hifigan.from_shapes import discriminator_config_from
from retimbre.models.hifigan.model import Generator
from retimbre.models.load import load_model, save_model
from retimbre.text.symbols import PUNCTUATION_BEFORE_0_3, SymbolTable, everyvoice_symbols

FIXTURES = Path(__file__).parents[1] / "fixtures" / "everyvoice"

RUNS = "project/logs_and_checkpoints"
TEXT_TO_SPEC = f"{RUNS}/FeaturePredictionExperiment/base/checkpoints/last.ckpt"
NO_POSTNET = f"{RUNS}/FeaturePredictionExperiment/nopostnet/checkpoints/last.ckpt"
VOCODER = f"{RUNS}/VocoderExperiment/base/checkpoints/last.ckpt"
MATCHED = f"{RUNS}/VocoderExperiment/base/checkpoints/last-v1.ckpt"
SENTENCE = "in being comparatively modern."


@pytest.fixture
def project(parity):
    return parity("everyvoice_project")


@pytest.fixture
def expected_spec(project):
    return read_tensor(next((project / "expected" / "one_sentence").glob("*.pt")))


@pytest.fixture
def small_config():
    return GeneratorConfig(
        n_mels=5,
        initial_channels=8,
        upsample_rates=(4, 2),
        upsample_kernels=(8, 4),
        resblock_kernels=(3,),
        resblock_dilations=((1, 3, 5),),
    )


@pytest.fixture
def small_vocoder(small_config):
    torch.manual_seed(4)
    mel = mel_librosa(n_mels=5, hop_samples=8)
    description = Description(
        family="hifigan", sizes=sizes_of(small_config), spectrogram=mel, step=7, assumed=(sentence("x", "x"),)
    )
    return Generator(small_config).eval(), description


def speak(loaded, text):
    ids = SymbolTable(loaded.description.symbols).encode(text).ids
    return loaded.model.speak(text_batch([ids]))


@torch.inference_mode()
def wave(loaded, spec):
    return loaded.model(spec[None]).flatten()


@pytest.mark.parametrize("file", [TEXT_TO_SPEC, NO_POSTNET, "derived/text_to_spec_model_version_1_2.ckpt"])
def test_every_text_to_spec_file_of_everyvoice_fills_our_network(project, file):
    loaded = load_model(project / file)
    description = loaded.description
    assert loaded.stage == "text-to-spec"
    assert not loaded.model.training
    assert description.family == "fastspeech2"
    assert description.mel == mel_librosa()
    assert description.speakers == ("speaker_0",)
    assert description.languages == ("eng",)
    assert description.text_rules.cleaners == ("collapse_whitespace", "strip_text", "lower", "nfc_normalize")
    assert description.stats.pitch.mean == pytest.approx(213.27029418945312)
    assert description.stats.energy.norm_max == pytest.approx(3.17746901512146)
    assert description.assumed == ()
    assert not description.is_exported
    assert len(description.symbols) == loaded.model.config.n_symbols


@pytest.mark.parametrize("file", [VOCODER, MATCHED, "project/exported.ckpt", "project/exported-matched.ckpt"])
def test_every_vocoder_file_of_everyvoice_fills_our_network(project, file):
    loaded = load_model(project / file)
    assert loaded.stage == "spec-to-wav"
    assert loaded.description.family == "hifigan"
    assert loaded.description.mel == mel_librosa()
    assert loaded.description.assumed == ()
    assert bool(loaded.discriminators) == (not loaded.description.is_exported) == ("exported" not in file)


def test_the_symbols_are_those_of_everyvoice(project):
    expected = json.loads((project / "expected" / "expected.json").read_text())
    assert list(load_model(project / TEXT_TO_SPEC).description.symbols) == expected["symbols"]
    tables = json.loads((project / "derived" / "symbol_tables.json").read_text())
    older = load_model(project / "derived" / "text_to_spec_model_version_1_2.ckpt")
    assert list(older.description.symbols) == tables["symbols_1_2"]


def test_a_loaded_file_speaks_as_everyvoice_does(project, expected_spec):
    with torch.inference_mode():
        spoken = speak(load_model(project / TEXT_TO_SPEC), SENTENCE)
    torch.testing.assert_close(spoken.spec[0].T, expected_spec, atol=2e-4, rtol=0)


def test_an_older_symbol_table_gives_the_same_speech(project):
    with torch.inference_mode():
        new, old = (
            speak(load_model(project / file), SENTENCE)
            for file in (NO_POSTNET, "derived/text_to_spec_model_version_1_2.ckpt")
        )
    torch.testing.assert_close(new.spec, old.spec, atol=1e-5, rtol=0)


@pytest.mark.parametrize("version", ["1.0", "1.1", "1.2"])
def test_a_table_in_the_order_of_any_version_gives_the_same_speech(tmp_path, version):
    saved = torch.load(FIXTURES / "fs2_many" / "model.ckpt", weights_only=True)
    known, weights = saved["hyper_parameters"], saved["state_dict"]
    new = load_model(FIXTURES / "fs2_many" / "model.ckpt")
    rows = dict(zip(known.pop("realized_symbols"), weights["text_input_layer.weight"], strict=True))
    declared = known["config"]["text"]["symbols"]
    if version < "1.2":
        declared["punctuation"] = PUNCTUATION_BEFORE_0_3
    order = everyvoice_symbols(
        characters=declared["eng_characters"],
        phones=declared["eng_phones"],
        punctuation=declared["punctuation"],
    ).symbols
    weights["text_input_layer.weight"] = torch.stack([rows.get(s, torch.randn(32)) for s in order])
    saved["model_info"]["version"] = version
    torch.save(saved, tmp_path / "older.ckpt")

    old = load_model(tmp_path / "older.ckpt")

    assert old.description.symbols == order != new.description.symbols
    text = "hɛˈloʊ, wɜ˞ld! t͡ʃaɪld?"
    with torch.inference_mode():
        torch.testing.assert_close(speak(old, text).spec, speak(new, text).spec, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("spec", "file"), [("ground-truth", "exported"), ("teacher-forced", "exported-matched")]
)
def test_an_exported_vocoder_sounds_as_in_everyvoice(project, spec, file):
    given = read_tensor(project / "project" / "synthesis_output" / f"LJ001-0002-{spec}.pt")
    expected = read_tensor(project / "expected" / f"wav_LJ001-0002-{spec}.pt").flatten()
    found = wave(load_model(project / "project" / f"{file}.ckpt"), given)
    torch.testing.assert_close(found, expected, atol=5e-5, rtol=0)


def test_a_full_an_exported_and_an_older_file_of_one_vocoder_sound_the_same(project):
    spec = read_tensor(project / "project" / "synthesis_output" / "LJ001-0002-ground-truth.pt")
    files = (VOCODER, "project/exported.ckpt", "derived/vocoder_weight_g_weight_v.ckpt")
    full, exported, older = (wave(load_model(project / file), spec) for file in files)
    assert torch.equal(full, exported)
    assert torch.equal(exported, older)


def test_discriminators_come_with_what_is_needed_to_build_them(project):
    loaded = load_model(project / VOCODER)
    shapes = {name: tuple(tensor.shape) for name, tensor in loaded.discriminators.items()}
    assert discriminator_config_from(shapes, loaded.description.sizes).config.periods == (2,)


@pytest.mark.parametrize(
    "folder", ["hifigan_v1_legacy", "hifigan_v1_zip", "hifigan_v3_legacy", "hifigan_v3_zip"]
)
def test_the_original_files_fill_our_network(parity, folder):
    loaded = load_model(parity("containers") / folder / "g_00000100")
    config = json.loads((parity("containers") / folder / "config.json").read_text())
    assert loaded.description.mel == hifigan_original()
    assert loaded.description.mel.centring is Centring.SHIFTED
    assert loaded.description.step == 100
    assert list(loaded.model.config.upsample_rates) == config["upsample_rates"]
    assert [list(row) for row in loaded.model.config.resblock_dilations] == config["resblock_dilation_sizes"]
    assert len(loaded.discriminators) == 170  # of the do_00000100 beside it


@pytest.mark.parametrize("version", ["v1", "v3"])
def test_a_folded_weight_norm_gives_the_same_sound(parity, version):
    torch.manual_seed(6)
    spec = torch.randn(80, 9)
    normed, folded = (
        wave(load_model(parity("containers") / f"hifigan_{version}_zip" / name), spec)
        for name in ("g_00000100", "g_folded")
    )
    torch.testing.assert_close(normed, folded, atol=1e-6, rtol=0)


def test_without_its_config_the_usual_spectrogram_is_a_stated_assumption(parity, tmp_path):
    shutil.copy(parity("containers") / "hifigan_v1_zip" / "g_00000100", tmp_path / "vocoder.pth")
    description = load_model(tmp_path / "vocoder.pth").description
    assert description.mel == hifigan_original()
    assert any(
        "22,050 Hz, 1024/256, 80 bands to 8,000 Hz" in str(assumption) for assumption in description.assumed
    )
    assert any("upsample_rates 8, 8, 2, 2" in str(assumption) for assumption in description.assumed)


def test_a_config_that_contradicts_the_tensors_is_refused(parity, tmp_path):
    for name in ("g_00000100", "config.json"):
        (tmp_path / name).write_bytes((parity("containers") / "hifigan_v1_zip" / name).read_bytes())
    config = json.loads((tmp_path / "config.json").read_text())
    for wrong, message in (({"hop_size": 200}, "samples for each frame"), ({"num_mels": 100}, "80 bands")):
        (tmp_path / "config.json").write_text(json.dumps(config | wrong))
        with pytest.raises(CheckpointError, match=message):
            load_model(tmp_path / "g_00000100")
    for wrong in ({"sampling_rate": "loud"}, {"upsample_rates": "fast"}, {"fmax": 90000}, {"win_size": 8}):
        (tmp_path / "config.json").write_text(json.dumps(config | wrong))
        with pytest.raises(CheckpointError):
            load_model(tmp_path / "g_00000100")


@pytest.mark.parametrize("file", [TEXT_TO_SPEC, NO_POSTNET, VOCODER])
def test_a_model_that_was_saved_is_the_same_when_loaded_again(project, tmp_path, file):
    first = load_model(project / file)
    path = save_model(tmp_path / "model.safetensors", first.model, first.description, first.discriminators)
    second = load_model(path)
    assert second.description == first.description
    assert second.stage == first.stage
    for name, tensor in first.model.state_dict().items():
        assert torch.equal(second.model.state_dict()[name], tensor), name
    assert set(second.discriminators) == set(first.discriminators)
    with torch.inference_mode():
        if first.stage == "text-to-spec":
            one, two = (speak(loaded, SENTENCE).spec for loaded in (first, second))
        else:
            spec = torch.randn(80, 7)
            one, two = (wave(loaded, spec) for loaded in (first, second))
    assert torch.equal(one, two)


def test_a_small_vocoder_survives_the_journey_too(tmp_path, small_vocoder):
    model, description = small_vocoder
    path = save_model(tmp_path / "small", model, description)
    assert path == tmp_path / "small.safetensors"
    loaded = load_model(str(path))
    assert loaded.description == description
    spec = torch.randn(5, 11)
    with torch.inference_mode():
        assert torch.equal(wave(loaded, spec), model(spec[None]).flatten())


def test_the_description_lies_beside_the_weights_as_json(tmp_path, small_vocoder):
    path = save_model(tmp_path / "run.1" / "model.safetensors", *small_vocoder)
    beside = json.loads(path.with_suffix(".json").read_text())
    assert Description.from_dict(beside) == small_vocoder[1]
    path.with_suffix(".json").unlink()  # for people: the file itself knows everything
    assert load_model(path).description == small_vocoder[1]


def test_weights_that_do_not_fit_their_description_are_refused_by_name_of_the_file(tmp_path, small_vocoder):
    path = save_model(tmp_path / "a.safetensors", *small_vocoder)
    contents = read(path)
    tensors = dict(contents.tensors)
    del tensors["conv_pre.bias"]
    write_safetensors(path, tensors, contents.metadata)
    with pytest.raises(
        CheckpointError,
        match=r"a\.safetensors: these tensors are no complete hifigan.*missing: conv_pre\.bias",
    ):
        load_model(path)


def test_a_description_of_another_family_is_refused(tmp_path, small_vocoder):
    path = save_model(tmp_path / "a.safetensors", *small_vocoder)
    contents = read(path)
    described = json.loads(contents.metadata["retimbre"]) | {"family": "fastspeech2"}
    write_safetensors(path, contents.tensors, {"retimbre": json.dumps(described)})
    with pytest.raises(CheckpointError, match="description and tensors differ"):
        load_model(path)


@pytest.mark.parametrize("text", ["", "no json", "[]", "{}", "[" * 100_000])
def test_a_damaged_description_is_our_error(tmp_path, small_vocoder, text):
    write_safetensors(tmp_path / "a.safetensors", small_vocoder[0].state_dict(), {"retimbre": text})
    with pytest.raises(CheckpointError):
        load_model(tmp_path / "a.safetensors")


def test_tensors_of_no_family_are_named(tmp_path):
    write_safetensors(tmp_path / "a.safetensors", {"lm_head.weight": torch.randn(3, 5)}, {})
    with pytest.raises(
        UnknownFamily, match=r"a\.safetensors: no family fits these 1 tensors.*lm_head\.weight"
    ):
        load_model(tmp_path / "a.safetensors")


def test_a_file_without_weights_says_so(tmp_path):
    torch.save({"epoch": 3}, tmp_path / "a.pt")
    with pytest.raises(UnknownFamily, match="no weights in it"):
        load_model(tmp_path / "a.pt")


def test_a_hostile_configuration_is_our_error(project, tmp_path):
    saved = torch.load(project / NO_POSTNET, weights_only=True)
    for damage in (
        {"model": "a text"},
        {"model": {"encoder": {"heads": 7}}},
        {"model": {"encoder": {"heads": "two"}}},
        {"model": {"variance_predictors": {"pitch": {"level": "word"}}}},
        {"preprocessing": {"audio": {"spec_type": "linear"}}},
        {"preprocessing": {"audio": {"n_mels": 100}}},
        {"preprocessing": {"audio": {"input_sampling_rate": "fast"}}},
        {"text": {"to_replace": {"(": "x"}}},
    ):
        known = saved["hyper_parameters"]
        torch.save(
            saved | {"hyper_parameters": known | {"config": known["config"] | damage}}, tmp_path / "a.ckpt"
        )
        with pytest.raises(CheckpointError):
            load_model(tmp_path / "a.ckpt")

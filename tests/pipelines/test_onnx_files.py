"""An ONNX file gives what its model gives, and what EveryVoice gave, or it is not written."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from building.models import generator_config, loaded_text_to_spec, loaded_vocoder, text_to_spec_config
from retimbre.audio.mel import mel_librosa
from retimbre.checkpoint.fill import load_weights
from retimbre.errors import CheckpointError, MissingExtra
from retimbre.models.description import Description
from retimbre.models.fastspeech2 import FASTSPEECH2
from retimbre.models.fastspeech2.batch import TextBatch, text_batch
from retimbre.models.fastspeech2.config import Level, PredictorSizes, StyleSizes
from retimbre.models.fastspeech2.variance import MOST_FRAMES, Controls
from retimbre.models.hifigan import HIFIGAN
from retimbre.models.load import Loaded, load_model
from retimbre.pipelines import onnx_spec_to_wav
from retimbre.pipelines.everyvoice import EveryVoiceChain, encode
from retimbre.pipelines.onnx_difference import inputs_of
from retimbre.pipelines.onnx_files import write_onnx
from retimbre.pipelines.onnx_session import OnnxModel
from retimbre.starter.find import starter_spec_to_wav, starter_text_to_spec

MEL = mel_librosa(n_mels=6)
SYMBOLS = ("\x80", " ", *"abcdefgh")
GENERATORS = {
    "convolution": {
        "upsample_rates": (8, 8, 2, 2),
        "upsample_kernels": (16, 16, 4, 4),
        "initial_channels": 16,
        "istft_n_fft_samples": None,
    },
    "plain-blocks": {"resblock": "2", "resblock_kernels": (3, 5), "resblock_dilations": ((1, 2), (2, 6))},
    "istft": {},
}
NETWORKS = {
    "by-symbol": {},
    "by-frame": {
        "pitch_level": Level.FRAME,
        "energy_level": Level.FRAME,
        "postnet_dim": 6,
        "n_speakers": 3,
        "n_languages": 2,
    },
    "one-of-each": {
        "pitch_level": Level.FRAME,
        "pitch": PredictorSizes(n_layers=2, dim=6, is_depthwise=False),
    },
    "style-tokens": {"style": StyleSizes(n_tokens=3, n_heads=2, channels=(4, 4), summary_dim=8)},
    "features": {"n_features": 5},
}
CONTROLS = Controls(duration=1.3, pitch=0.8, energy=1.1)


@pytest.fixture(autouse=True)
def needed(request):
    """The optional packages, but for the tests that are about their absence."""
    if "without" not in request.node.name:
        pytest.importorskip("onnx", reason="onnx is not installed: pip install 'retimbre[onnx]'")
        pytest.importorskip(
            "onnxruntime", reason="onnxruntime is not installed: pip install 'retimbre[onnx]'"
        )


def random_vocoder(**sizes) -> Loaded:
    return loaded_vocoder(generator_config(n_mels=6, **sizes), seed=6, mel=MEL)


def random_text_to_spec(**sizes) -> Loaded:
    """None of whose tensors is zero or one throughout."""
    config = text_to_spec_config(len(SYMBOLS), n_mels=6, **sizes)
    loaded = loaded_text_to_spec(config, seed=5, mel=MEL, symbols=SYMBOLS)
    named = [*loaded.model.named_parameters(), *loaded.model.named_buffers()]
    with torch.no_grad():
        for name, tensor in named:
            if name.endswith("running_var"):
                tensor.uniform_(0.5, 2.0)
            elif (
                tensor.dim() == 1 and tensor.is_floating_point() and "bins" not in name and "freq" not in name
            ):
                tensor.add_(torch.randn_like(tensor) * 0.1)
            elif name.endswith("input_layer.features"):
                tensor.normal_()
    return loaded


def some_texts(loaded: Loaded) -> TextBatch:
    config = loaded.model.config
    return replace(
        text_batch([[3, 1, 4, 1, 5, 9, 2, 6, 5], [8], [7, 9, 3, 2]]),
        speaker=torch.tensor([2, 0, 1]) % (config.n_speakers or 1),
        language=torch.tensor([0, 1, 1]) % (config.n_languages or 1),
    )


@pytest.mark.parametrize("kind", GENERATORS)
def test_a_vocoder_sounds_the_same(tmp_path, kind):
    loaded = random_vocoder(**GENERATORS[kind])
    before = {name: tensor.clone() for name, tensor in loaded.model.state_dict().items()}

    difference = write_onnx(loaded, tmp_path / "vocoder.onnx")

    file = OnnxModel(tmp_path / "vocoder.onnx")
    for batch, n_frames in ((1, 1), (3, 19)):
        spec = torch.randn(batch, 6, n_frames) * 2 - 5
        expected = loaded.model(spec).squeeze(1).detach()
        assert expected.shape == (batch, n_frames * MEL.hop_samples)
        torch.testing.assert_close(file({"spec": spec})["waveform"], expected, atol=1e-6, rtol=1e-4)
    assert [output.name for output in difference.outputs] == ["waveform"]
    assert (
        0 < difference.outputs[0].share < 1e-4
    )  # a difference of nothing would mean that nothing was compared
    assert all(tensor.equal(before[name]) for name, tensor in loaded.model.state_dict().items())


@pytest.mark.parametrize("kind", NETWORKS)
def test_a_text_to_spec_model_says_the_same(tmp_path, kind):
    loaded = random_text_to_spec(**NETWORKS[kind])
    texts = some_texts(loaded)

    difference = write_onnx(loaded, tmp_path / "model.onnx")

    spoken, theirs = (
        loaded.model.speak(texts, CONTROLS),
        OnnxModel(tmp_path / "model.onnx")(inputs_of(texts, CONTROLS)),
    )
    assert theirs["durations"].equal(spoken.durations)
    assert theirs["n_frames"].equal(spoken.n_frames)
    assert len(set(spoken.n_frames.tolist())) > 1  # so there is padding
    torch.testing.assert_close(theirs["spec"], spoken.spec.transpose(1, 2), atol=1e-4, rtol=0)
    torch.testing.assert_close(theirs["pitch"], spoken.pitch, atol=1e-5, rtol=0)
    torch.testing.assert_close(theirs["energy"], spoken.energy, atol=1e-5, rtol=0)
    assert {output.name for output in difference.outputs} == {"spec", "pitch", "energy"}
    assert (difference.n_durations, difference.n_wrong) == (234, 0)


@pytest.mark.parametrize("bias", [-5.0, 9.0], ids=["shorter than a frame", "endless"])
def test_durations_have_the_same_limits(tmp_path, bias):
    loaded, text = random_text_to_spec(), text_batch([[3, 4, 5], [6, 2]])
    with torch.no_grad():
        loaded.model.variance_adaptor.duration_predictor.linear.bias.fill_(bias)
    file = tmp_path / "model.onnx"

    write_onnx(loaded, file)

    durations = OnnxModel(file)(inputs_of(text, Controls()))["durations"]
    assert durations.equal(loaded.model.speak(text).durations)
    assert durations[1].tolist() == ([1, 0, 0] if bias < 0 else [MOST_FRAMES, MOST_FRAMES, 0])


def of_fixture(folder: Path, family) -> Loaded:
    """The model of a fixture, as after loading."""
    weights, known = load_file(folder / "weights.safetensors"), json.loads((folder / "meta.json").read_text())
    tensors = family.ledger_of(weights).tensors
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    model: nn.Module = family.build(family.config_from(shapes, known).config).eval()
    load_weights(model, tensors)
    description = Description(family=family.name, sizes={}, spectrogram=MEL)
    return Loaded(model=model, description=description, path=folder, stage=family.stage)


@pytest.mark.parametrize("name", ["hifigan", "istft"])
def test_a_vocoder_file_gives_the_frozen_reference(parity, tmp_path, name):
    io = load_file(parity(name) / "io.safetensors")
    write_onnx(of_fixture(parity(name), HIFIGAN), tmp_path / "vocoder.onnx")

    wave = OnnxModel(tmp_path / "vocoder.onnx")({"spec": io["mel"]})["waveform"]

    torch.testing.assert_close(wave, io["wave"].squeeze(1), atol=5e-5, rtol=0)


@pytest.mark.parametrize("name", ["fs2", "fs2_multi"])
def test_a_text_to_spec_file_gives_the_frozen_reference(parity, tmp_path, name):
    io = load_file(parity(name) / "io.safetensors")
    write_onnx(of_fixture(parity(name), FASTSPEECH2), tmp_path / "model.onnx")
    names = {"symbols": "text", "n_symbols": "src_lens", "speaker": "speaker_id", "language": "language_id"}
    texts = TextBatch(**{ours: io[f"in_{theirs}"] for ours, theirs in names.items()})
    file = OnnxModel(tmp_path / "model.onnx")

    asked = {"infer": Controls(), "infer_ctl": Controls(pitch=1.2, energy=0.7, duration=1.5)}
    for mode, controls in asked.items():
        output = file(inputs_of(texts, controls))
        # EveryVoice lets padding reach the shorter utterance of a batch, but not this one.
        n_frames = int(io[f"{mode}_tgt_mask"][0].sum())
        assert int(output["n_frames"][0]) == n_frames
        expected = io[f"{mode}_postnet_output"][0, :n_frames]
        torch.testing.assert_close(output["spec"][0, :, :n_frames].T, expected, atol=2e-4, rtol=0)


def test_a_file_says_what_it_is(tmp_path):
    import onnx

    loaded = random_text_to_spec(**NETWORKS["by-frame"])
    write_onnx(loaded, tmp_path / "model.onnx")

    metadata = OnnxModel(tmp_path / "model.onnx").metadata
    assert Description.from_dict(json.loads(metadata["retimbre"])) == loaded.description
    graph = onnx.load(tmp_path / "model.onnx").graph
    axes = {
        port.name: [axis.dim_param or axis.dim_value for axis in port.type.tensor_type.shape.dim]
        for port in [*graph.input, *graph.output]
    }
    assert axes == {
        "symbols": ["batch", "symbols"],
        "lengths": ["batch"],
        "speaker": ["batch"],
        "language": ["batch"],
        "duration_control": [],
        "pitch_control": [],
        "energy_control": [],
        "spec": ["batch", 6, "frames"],
        "n_frames": ["batch"],
        "durations": ["batch", "symbols"],
        "energy": ["batch", "frames"],
        "pitch": ["batch", "frames"],
    }


def test_the_starter_voice_speaks_through_two_files(tmp_path):
    text = "A short walk by the river."
    text_to_spec, vocoder = load_model(starter_text_to_spec()), load_model(starter_spec_to_wav())
    for loaded in (text_to_spec, vocoder):
        write_onnx(loaded, tmp_path / f"{loaded.stage}.onnx")
    symbols = text_batch([encode(text, text_to_spec)])

    spec = OnnxModel(tmp_path / "text-to-spec.onnx")(inputs_of(symbols, Controls()))["spec"]
    samples = OnnxModel(tmp_path / "spec-to-wav.onnx")({"spec": spec})["waveform"][0]

    expected = EveryVoiceChain(text_to_spec=text_to_spec, spec_to_wav=vocoder).speak(text).samples
    assert samples.shape == expected.shape
    assert (samples - expected).abs().max() < 1e-3 * expected.abs().max()


@pytest.mark.parametrize("is_there", [False, True])
def test_a_file_that_gives_something_else_is_not_left(tmp_path, monkeypatch, is_there):
    path = tmp_path / "vocoder.onnx"
    if is_there:
        path.write_bytes(b"an older file")
    monkeypatch.setattr(onnx_spec_to_wav, "LAST_SLOPE", 0.3)

    with pytest.raises(
        CheckpointError, match=r"vocoder.onnx was not written.* found waveform: .*bound 1e-03"
    ):
        write_onnx(random_vocoder(), path)

    assert [file.name for file in tmp_path.iterdir()] == (["vocoder.onnx"] if is_there else [])
    assert not is_there or path.read_bytes() == b"an older file"


def test_a_model_of_another_family_is_refused(tmp_path):
    loaded = random_vocoder()
    other = replace(loaded, model=nn.Linear(2, 2), description=replace(loaded.description, family="univnet"))

    with pytest.raises(
        CheckpointError, match="expected a model of the family fastspeech2 or hifigan, found univnet"
    ):
        write_onnx(other, tmp_path / "vocoder.onnx")


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_without_a_package_the_error_says_what_to_install(tmp_path, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)

    with pytest.raises(MissingExtra, match=r"pip install 'retimbre\[onnx\]'"):
        write_onnx(random_vocoder(), tmp_path / "vocoder.onnx")

"""An exported vocoder gives the same sound from a smaller file, which EveryVoice reads too."""

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from retimbre.audio.mel import hifigan_original, mel_librosa
from retimbre.checkpoint.read import read
from retimbre.errors import CheckpointError, StagesDoNotFit
from retimbre.models.description import Description, sizes_of
from retimbre.models.hifigan.config import DiscriminatorConfig, GeneratorConfig
from retimbre.models.hifigan.discriminators import Discriminators
from retimbre.models.hifigan.model import Generator
from retimbre.models.load import load_model, save_model
from retimbre.pipelines.export import export_spec_to_wav

KINDS = {
    "convolution": {"upsample_rates": (8, 8, 2, 2), "upsample_kernels": (16, 16, 4, 4)},
    "istft": {"upsample_rates": (8, 8), "upsample_kernels": (16, 16), "istft_n_fft_samples": 16},
}
CHECKPOINTS = "project/logs_and_checkpoints/VocoderExperiment/base/checkpoints"
EVERYVOICE_LOADS = """
import sys, torch
from everyvoice.model.vocoder.HiFiGAN_iSTFT_lightning.hfgl import utils
checkpoint = torch.load(sys.argv[1], weights_only=True)
model, config = utils.load_hifigan_from_checkpoint(checkpoint, torch.device("cpu"))
assert type(model).__name__ == "HiFiGANGenerator", type(model)
spec = torch.load(sys.argv[2], weights_only=True)
torch.save(torch.as_tensor(utils.synthesize_data(spec, model, config)[0]), sys.argv[3])
"""


@pytest.fixture
def trained(tmp_path):
    """A vocoder of Retimbre with discriminators: trained("istft", mel=…)."""

    def build(kind="convolution", *, mel=None, **sizes):
        torch.manual_seed(8)
        config = GeneratorConfig(
            initial_channels=16, resblock_kernels=(3,), resblock_dilations=((1, 3, 5),), **KINDS[kind] | sizes
        )
        judges = Discriminators(DiscriminatorConfig(width=0.02, periods=(2,), n_scales=1))
        described = Description(
            family="hifigan", sizes=sizes_of(config), spectrogram=mel or mel_librosa(), step=77
        )
        return save_model(tmp_path / "trained.safetensors", Generator(config), described, judges.state_dict())

    return build


def sound(path, spec):
    with torch.inference_mode():
        return load_model(path).model(spec)


@pytest.mark.parametrize(
    ("contact", "expected"),
    [
        ("Ann Ahn <ann@a.example>", ("Ann Ahn", "ann@a.example")),
        ("bob@b.example", ("unknown", "bob@b.example")),
        ("Carla", ("Carla", "unknown@example.org")),
        ({"contact_name": "Dan", "contact_email": "d@d.example"}, ("Dan", "d@d.example")),
        ("", ("unknown", "unknown@example.org")),
    ],
)
def test_who_answers_for_a_vocoder_is_told_to_everyvoice(trained, tmp_path, contact, expected):
    loaded = load_model(trained())
    described = replace(loaded.description, lineage={"contact": contact})
    source = save_model(tmp_path / "mine.safetensors", loaded.model, described)

    output = export_spec_to_wav(source, tmp_path / "exported.ckpt")

    told = read(output).values["hyper_parameters"]["config"]["contact"]
    assert (told["contact_name"], told["contact_email"]) == expected


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["exported.ckpt", "exported.safetensors"])
def test_an_exported_vocoder_sounds_the_same_and_is_smaller(trained, tmp_path, kind, name):
    source, spec = trained(kind), torch.randn(1, 80, 9)

    output = export_spec_to_wav(source, tmp_path / name)

    assert sound(output, spec).equal(sound(source, spec))
    assert output.stat().st_size < source.stat().st_size
    exported = load_model(output)
    assert not exported.discriminators
    assert exported.description.is_exported
    assert exported.description.step == 77
    assert exported.description.mel == mel_librosa()


def test_the_file_for_everyvoice_holds_plain_tensors_and_values(trained, tmp_path):
    output = export_spec_to_wav(trained(), tmp_path / "exported.ckpt")

    content = torch.load(output, weights_only=True)

    assert content["model_info"] == {"name": "HiFiGANGenerator", "version": "1.0"}
    assert all(name.startswith("generator.") for name in content["state_dict"])
    assert not read(output).notes
    assert content["hyper_parameters"]["config"]["preprocessing"]["audio"]["fft_hop_size"] == 256


def test_an_export_of_everyvoices_own_checkpoint_is_everyvoices_export(parity, tmp_path):
    folder = parity("everyvoice_project")

    output = export_spec_to_wav(folder / CHECKPOINTS / "last.ckpt", tmp_path / "exported.ckpt")

    ours, theirs = (
        torch.load(output, weights_only=True),
        torch.load(folder / "project/exported.ckpt", weights_only=True),
    )
    assert ours.keys() == theirs.keys()
    assert ours["hyper_parameters"] == theirs["hyper_parameters"]
    for name in ("epoch", "global_step", "pytorch-lightning_version", "hparams_name", "model_info"):
        assert ours[name] == theirs[name]
    assert ours["state_dict"].keys() == theirs["state_dict"].keys()
    assert all(ours["state_dict"][name].equal(tensor) for name, tensor in theirs["state_dict"].items())


@pytest.mark.slow
@pytest.mark.skipif(
    "EVERYVOICE_PYTHON" not in os.environ,
    reason="EVERYVOICE_PYTHON is not set: it names a Python that has EveryVoice 0.5.0",
)
@pytest.mark.parametrize("kind", KINDS)
def test_everyvoice_loads_it_and_makes_the_same_sound(trained, tmp_path, kind):
    output, spec = export_spec_to_wav(trained(kind), tmp_path / "exported.ckpt"), torch.randn(1, 80, 9)
    torch.save(spec, tmp_path / "spec.pt")
    words = [
        os.environ["EVERYVOICE_PYTHON"],
        "-c",
        EVERYVOICE_LOADS,
        output,
        tmp_path / "spec.pt",
        tmp_path / "wave.pt",
    ]

    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr[-2000:]
    wave = torch.load(tmp_path / "wave.pt", weights_only=True)
    torch.testing.assert_close(wave, sound(output, spec), atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"mel": hifigan_original()}, "kind mel-librosa or mel, found mel-hifigan"),
        ({"upsample_kernels": (10, 16, 4, 4)}, "multiples of their rates, found 10 for 8"),
    ],
)
def test_a_vocoder_that_everyvoice_cannot_describe_is_refused_for_it_alone(trained, tmp_path, given, named):
    source = trained(**given)

    with pytest.raises(CheckpointError, match=named):
        export_spec_to_wav(source, tmp_path / "exported.ckpt")
    assert not (tmp_path / "exported.ckpt").exists()
    assert export_spec_to_wav(source, tmp_path / "exported.safetensors").exists()


def test_a_checkpoint_is_never_replaced_by_a_part_of_itself(trained):
    source = trained()
    before = source.read_bytes()

    with pytest.raises(CheckpointError, match="replaced by a part of itself"):
        export_spec_to_wav(source, source)
    assert source.read_bytes() == before


def test_a_model_of_another_stage_is_refused(text_to_spec, tmp_path):
    loaded = text_to_spec()
    described = replace(loaded.description, sizes=sizes_of(loaded.model.config))
    path = save_model(tmp_path / "tuned.safetensors", loaded.model, described)

    with pytest.raises(StagesDoNotFit, match="expected a spec-to-wav checkpoint"):
        export_spec_to_wav(path, Path("exported.ckpt"))

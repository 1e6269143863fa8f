"""A report says what a file is, also where no family explains it."""

import json

import pytest
import torch

from retimbre.errors import CheckpointError
from retimbre.models.identify import identify

RUNS = "project/logs_and_checkpoints"


@pytest.fixture
def project(parity):
    return parity("everyvoice_project")


def test_a_text_to_spec_file_is_described_in_a_few_lines(project):
    report = identify(project / RUNS / "FeaturePredictionExperiment/base/checkpoints/last.ckpt")
    text = report.to_text()
    for part in (
        "Text-to-spec   fastspeech2, 4.5 M parameters, 58 symbols, step 40",
        "Written by     EveryVoice (FastSpeech2 1.3)",
        "Spectrogram    22,050 Hz, 1024/256, 80 bands to 8,000 Hz",
        "'\\x80' ' ' <SEMICOL>",
        "speaker_0",
        "encoder: n_layers 1, n_heads 2, dim 32",
        "optimiser state",
        "sha256 " + report.sha256,
    ):
        assert part in text
    assert "Assumed" not in text


def test_a_full_vocoder_file_has_discriminators_and_an_exported_one_has_none(project):
    full = identify(project / RUNS / "VocoderExperiment/base/checkpoints/last.ckpt")
    exported = identify(project / "project" / "exported.ckpt")
    assert (full.family, full.stage) == (exported.family, exported.stage) == ("hifigan", "spec-to-wav")
    assert full.has_discriminators
    assert full.has_optimiser
    assert not exported.has_discriminators
    assert not exported.has_optimiser
    assert full.parameters == exported.parameters
    assert full.dropped == exported.dropped == {}


def test_the_discriminators_beside_an_original_generator_are_named(parity):
    report = identify(parity("containers") / "hifigan_v3_zip" / "g_00000100")
    assert report.written_by == "original HiFi-GAN"
    assert "discriminators (in do_00000100 beside it)" in report.to_text()
    assert "Assumed        periods 2, 3, 5, 7, 11: " in report.to_text()


def test_discriminators_alone_are_called_what_they_are(parity):
    report = identify(parity("containers") / "hifigan_v1_zip" / "do_00000100")
    assert report.family is None
    assert report.has_optimiser
    assert "discriminators without their generator" in report.to_text()


def test_an_unknown_file_is_described_as_far_as_it_goes(tmp_path):
    torch.save({"model": {"lm_head.weight": torch.randn(3, 5)}, "step": 9}, tmp_path / "a.pth")
    report = identify(tmp_path / "a.pth")
    assert report.family is None
    assert report.n_tensors == 1
    assert "lm_head.weight" in report.to_text()
    assert "no family fits" in report.to_text()


def test_a_file_without_weights_is_no_mystery(tmp_path):
    torch.save({}, tmp_path / "a.pth")
    assert identify(tmp_path / "a.pth").problem == "there are no weights in it"


def test_names_of_code_are_shown_as_harmless(parity):
    text = identify(parity("containers") / "awkward_numpy2" / "lightning_like.ckpt").to_text()
    assert "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint" in text
    assert "neither imported nor run here" in text


def test_tensors_that_nobody_uses_are_named(project, tmp_path):
    saved = torch.load(project / "project" / "exported.ckpt", weights_only=True)
    window = {"inverse_spectral_transform.window": torch.randn(16)}
    saved["state_dict"] = {**saved["state_dict"], **window}
    torch.save(saved, tmp_path / "a.ckpt")
    report = identify(tmp_path / "a.ckpt")
    assert list(report.dropped) == list(window)
    assert "1 dropped: inverse_spectral_transform.window - windows and filters: computed" in report.to_text()


def test_terminal_commands_in_a_file_are_shown_and_not_obeyed(tmp_path):
    torch.save({"\x1b[2J": torch.randn(2), "more\n\x07": torch.randn(2)}, tmp_path / "a.pth")
    report = identify(tmp_path / "a.pth")
    assert "\x1b" not in report.to_text() + report.to_json()
    assert "\x07" not in report.to_text() + report.to_json()


def test_the_json_holds_the_whole_description(project):
    values = json.loads(identify(project / "project" / "exported.ckpt").to_json())
    assert values["family"] == "hifigan"
    assert values["description"]["mel"]["hop_samples"] == 256
    assert values["description"]["sizes"]["upsample_rates"] == [8, 8, 2, 2]
    assert values["sha256"] == "ad78e93578392c9abee634c5eec74d8b5c0dcaa4a4184b90d5e75907517ce136"


def test_a_file_that_is_no_checkpoint_is_an_error(tmp_path):
    (tmp_path / "a.ckpt").write_text("hello")
    with pytest.raises(CheckpointError, match="holds no weights"):
        identify(tmp_path / "a.ckpt")

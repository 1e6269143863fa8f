"""What EveryVoice's guides name by its own folders is found where it lies here, and nothing else is."""

from pathlib import Path

import pytest

from retimbre.recipe.everyvoice_places import places_of, run_name, stand_in

LOGS = "logs_and_checkpoints/VocoderExperiment/base/checkpoints"


def made(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        (f"{LOGS}/last.ckpt", "runs/VocoderExperiment-base/model.safetensors"),
        (f"{LOGS}/last-v1.ckpt", "runs/VocoderExperiment-base-matched/model.safetensors"),
        (f"{LOGS}/epoch=3-step=8.ckpt", None),
        ("logs_and_checkpoints/VocoderExperiment/other/checkpoints/last.ckpt", None),
        ("preprocessed", "runs/preprocessed"),
        ("preprocessed/training_filelist.psv", "runs/preprocessed/training_filelist.psv"),
        ("preprocessed/validation_filelist.psv", None),
        ("else/preprocessed", None),
    ],
)
def test_a_path_of_the_guides_is_found_where_it_lies_here(tmp_path, asked, found):
    made(
        tmp_path,
        "runs/VocoderExperiment-base/model.safetensors",
        "runs/VocoderExperiment-base-matched/model.safetensors",
        "runs/preprocessed/training_filelist.psv",
    )
    assert stand_in(tmp_path / asked) == (tmp_path / found if found else None)


def test_the_only_run_of_an_experiment_is_its_last_checkpoint_also_if_it_was_matched(tmp_path):
    made(tmp_path, "runs/VocoderExperiment-base-matched/model.safetensors")
    assert stand_in(tmp_path / LOGS / "last.ckpt") == (
        tmp_path / "runs/VocoderExperiment-base-matched/model.safetensors"
    )


def test_what_is_there_is_taken_as_it_is(tmp_path):
    made(tmp_path, f"{LOGS}/last.ckpt", "runs/VocoderExperiment-base/model.safetensors", "preprocessed/x")
    made(tmp_path, "runs/preprocessed/x")
    assert stand_in(tmp_path / LOGS / "last.ckpt") is None
    assert stand_in(tmp_path / "preprocessed") is None


def test_a_relative_path_is_seen_from_the_current_folder(tmp_path, monkeypatch):
    made(tmp_path, "runs/VocoderExperiment-base/model.safetensors", "config/x")
    monkeypatch.chdir(tmp_path / "config")
    assert places_of(Path("../preprocessed"))[0].resolve() == tmp_path / "runs/preprocessed"
    monkeypatch.chdir(tmp_path)
    assert stand_in(Path(LOGS) / "last.ckpt") == tmp_path / "runs/VocoderExperiment-base/model.safetensors"


def test_a_run_is_named_after_experiment_and_version_with_signs_that_any_disk_takes():
    assert run_name("My Experiment", "v 1") == "My-Experiment-v-1"
    assert run_name("VocoderExperiment", "base", is_matched=True) == "VocoderExperiment-base-matched"

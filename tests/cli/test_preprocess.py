"""Preparing makes only what has changed, and tells where it is."""

import json
import os

import pytest
import soundfile


def times(project, kind):
    return {path.name: path.stat().st_mtime_ns for path in (project.preprocessed / kind).iterdir()}


def test_everything_is_prepared_and_the_folder_is_told_on_stdout(project, retimbre):
    ended = retimbre("preprocess", "text-to-spec", project.tuning)

    assert ended.code == 0, ended.err
    assert ended.out == f"{project.preprocessed}\n"
    for kind in ("audio", "spec", "pitch", "energy"):
        assert len({path.stem for path in (project.preprocessed / kind).iterdir()}) == 8
    lists = {name: lines(project, f"{name}filelist.psv") for name in ("", "training_", "validation_")}
    assert len(lists[""]) == 1 + 8
    assert len(lists["training_"]) + len(lists["validation_"]) == 2 + 6  # two are held out
    assert {"pitch", "energy"} <= json.loads((project.preprocessed / "stats.json").read_text()).keys()


def lines(project, name):
    return (project.preprocessed / name).read_text(encoding="utf-8").splitlines()


def test_only_what_changed_is_made_again(project, retimbre, speak):
    before = times(project, "spec")
    project.record("u2", speak(duration_s=0.9, seed=11))

    assert retimbre("preprocess", "text-to-spec", project.tuning).code == 0

    after = times(project, "spec")
    assert [name for name in after if after[name] != before[name]] == [
        "u2--default--default--spec-22050-mel-librosa.safetensors"
    ]


def test_overwriting_makes_everything_again_with_the_same_bytes(project, retimbre):
    before, bytes_before = times(project, "spec"), project.files()

    assert retimbre("preprocess", "text-to-spec", project.tuning, "--overwrite").code == 0

    after = times(project, "spec")
    assert all(after[name] != before[name] for name in after)
    assert project.files() == bytes_before


def test_a_damaged_feature_is_made_again(project, retimbre):
    before = project.files()
    (path,) = (project.preprocessed / "pitch").glob("u3--*")
    path.write_bytes(path.read_bytes()[:-5])

    assert retimbre("preprocess", "text-to-spec", project.tuning).code == 0

    assert project.files() == before


@pytest.mark.parametrize("n_workers", [1, 2])
def test_the_number_of_processes_does_not_change_a_byte(project, retimbre, monkeypatch, n_workers):
    monkeypatch.setattr("retimbre.data.prepare.ITEMS_PER_WORKER", 4)
    before = project.files()

    words = ("--overwrite", "--cpus", n_workers)
    assert retimbre("preprocess", "text-to-spec", project.tuning, *words).code == 0

    assert project.files() == before


def test_the_recordings_are_never_touched(project, retimbre):
    for path in project.recordings.iterdir():
        os.chmod(path, 0o444)
    before = {path.name: path.stat().st_mtime_ns for path in project.recordings.iterdir()}

    assert retimbre("preprocess", "text-to-spec", project.tuning, "--overwrite").code == 0

    assert {path.name: path.stat().st_mtime_ns for path in project.recordings.iterdir()} == before
    assert soundfile.info(project.recordings / "u0.wav").samplerate == 22050

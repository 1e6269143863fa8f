"""Preparing makes only what has changed, and tells where it is."""

import json
import os
import shutil

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


def emptied(project):
    """Nothing is prepared."""
    shutil.rmtree(project.preprocessed)


def prepared(project):
    return sorted(path.name for path in project.preprocessed.iterdir() if path.is_dir())


def test_steps_may_come_in_any_order_and_alone(project, retimbre):
    emptied(project)
    words = ("preprocess", "text-to-spec", project.tuning)

    assert retimbre(*words, "-s", "audio").code == 0
    assert prepared(project) == ["audio"]
    assert retimbre(*words, "-s", "energy", "--steps", "pitch").code == 0
    assert prepared(project) == ["audio", "energy", "pitch"]
    assert retimbre(*words, "-s", "spec", "-s", "audio").code == 0
    assert prepared(project) == ["audio", "energy", "pitch", "spec"]


def test_steps_end_in_the_same_bytes_as_all_at_once(project, retimbre):
    lists = ("runs", "preprocessed/prepared.json")
    before = project.files(but=lists)
    for step in ("pitch", "spec", "energy", "audio"):
        assert retimbre("preprocess", "spec-to-wav", project.matching, "-s", step, "-O").code == 0
    assert project.files(but=lists) == before


def test_a_step_without_counterpart_says_when_it_is_made(project, retimbre):
    before = project.files()
    ended = retimbre("preprocess", "text-to-spec", project.tuning, "-s", "attn", "-s", "text", "-s", "pfs")
    assert ended.code == 0
    assert [line.split(":")[0].split()[1] for line in ended.err.splitlines()] == ["attn", "text", "pfs"]
    assert project.files() == before


def test_an_unknown_step_is_told_the_known_ones(project, retimbre):
    error = retimbre("preprocess", "text-to-spec", project.tuning, "-s", "mel").error
    assert "no step 'mel': expected some of audio, spec, pitch, energy, attn, text, pfs" in error


def test_debugging_takes_the_first_ten_of_the_list(project, retimbre, speak):
    emptied(project)
    project.say(*(f"text {number}" for number in range(12)))
    for number in range(12):
        project.record(f"u{number}", speak(seed=number))

    ended = retimbre("preprocess", "text-to-spec", project.tuning, "-D")

    assert ended.code == 0, ended.err
    assert {path.stem.split("--")[0] for path in (project.preprocessed / "spec").iterdir()} == {
        f"u{number}" for number in range(10)
    }


def test_the_stage_may_be_left_out_as_in_earlier_versions(project, retimbre):
    assert retimbre("preprocess", project.tuning).code == 0
    assert retimbre("preprocess", project.matching).code == 0
    assert "no recipe" in retimbre("preprocess", "text-to-speck").error
    assert retimbre("preprocess", "text-to-spec").code == 2
    assert "another stage" in retimbre("preprocess", "text-to-spec", project.matching).error


def test_statistics_are_said_to_be_measured_when_training_begins(project, retimbre):
    assert "Statistics" in retimbre("preprocess", project.tuning, "--no-stats").err
    assert "Statistics" not in retimbre("preprocess", project.tuning, "-S").err

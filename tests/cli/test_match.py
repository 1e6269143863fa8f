"""Matching from the command line: from two checkpoints and recordings to a report with paired intervals."""

import json
import os
import shutil
import signal
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from retimbre.cli.console import Console
from retimbre.models.load import load_model
from retimbre.recipe.read import read_recipe


def final_weights(run):
    return load_file(run / "checkpoints" / "step-000003" / "model.safetensors")


def are_equal(one, other):
    return one.keys() == other.keys() and all(one[name].equal(other[name]) for name in one)


def report_in(run):
    return json.loads((run / "report.json").read_text(encoding="utf-8"))


@pytest.fixture
def match(project, retimbre):
    """Match the project's vocoder to its text-to-spec model."""
    words = ("match", project.matching, "--spec-model", project.text_to_spec)
    return lambda *more: retimbre(*words, *more)


@dataclass(frozen=True)
class Whole:
    """A match with control that nobody interrupted."""

    project: Any
    run: Path
    ended: Any
    before: dict[str, str]
    after: dict[str, str]


@pytest.fixture(scope="module")
def whole(finished_project, retimbre, tmp_path_factory):
    project = replace(finished_project, root=tmp_path_factory.mktemp("whole") / "project")
    shutil.copytree(finished_project.root, project.root)
    before = project.files(but=("preprocessed/",))
    words = ("--spec-model", project.text_to_spec, "--base-spec-model", project.text_to_spec)
    ended = retimbre("match", project.matching, *words, "--control")
    return Whole(project, project.runs / "match", ended, before, project.files())


def test_a_match_with_control_ends_in_a_report_with_paired_intervals(whole):
    ended, run = whole.ended, whole.run
    assert ended.code == 0, ended.err
    assert ended.out == f"{run / 'report.html'}\n"
    report = report_in(run)
    assert [system["name"] for system in report["systems"]] == ["real", "base", "tuned", "control", "matched"]
    assert set(report["results"]) == {"teacher-forced", "free running"}
    assert report["results"]["free running"]["scores"]["systems"][0] == "real"
    results = report["results"]["teacher-forced"]
    pairs = {(found["system"], found["against"]): found for found in results["differences"] if is_mcd(found)}
    assert pairs.keys() == {("matched", "tuned"), ("matched", "control"), ("tuned", "base")}
    for interval in pairs.values():
        assert interval["n_pairs"] == 2
        assert interval["low"] <= interval["mean"] <= interval["high"]
    assert "<audio" in (run / "report.html").read_text(encoding="utf-8")
    assert "2 held-out utterances are too few" in ended.err
    assert whole.before.items() <= whole.after.items()
    for model in (run / "model.safetensors", run / "control" / "model.safetensors"):
        assert load_model(model).stage == "spec-to-wav"


def is_mcd(difference):
    return difference["measure"] == "mcd"


def test_the_steps_of_a_match_are_told_in_their_order(whole):
    said = whole.ended.err

    labels = ("Text-to-spec", "Vocoder", "They fit", "Data", "Produced specs", "Misfit", "Plan", "Training")
    labels += ("Judging", "Result")
    places = [said.index(f"\n{label}" if label != "Text-to-spec" else label) for label in labels]
    assert places == sorted(places)
    assert all(line[13] == " " for line in said.splitlines() if not line.startswith("Produced specs"))


def test_a_matched_vocoder_was_trained_on_produced_specs_and_its_control_on_real_ones(whole, project):
    run = whole.run
    assert read_recipe(run / "recipe.yaml").training.spec_source == "produced"
    assert read_recipe(run / "control" / "recipe.yaml").training.spec_source == "real"
    matched, control = final_weights(run), final_weights(run / "control")
    base = load_file(project.vocoder)
    assert not are_equal(matched, control)
    assert not matched["generator.conv_pre.bias"].equal(base["conv_pre.bias"])


def test_train_with_match_with_is_the_same_match(whole, project, retimbre):
    ended = retimbre(
        "train", "spec-to-wav", project.matching, "--match-with", project.text_to_spec, "-c", "name=other"
    )

    assert ended.code == 0, ended.err
    assert ended.out == f"{project.runs / 'other' / 'report.html'}\n"
    for part in ("", "control"):
        assert are_equal(final_weights(whole.run / part), final_weights(project.runs / "other" / part))


@pytest.mark.parametrize("stopped_run", ["match", "control"])
def test_an_interrupted_match_that_is_resumed_ends_like_an_uninterrupted_one(
    whole, project, match, monkeypatch, stopped_run
):
    progress, n_seen = Console.progress, 0

    def press(console, task, done, total, note=""):
        nonlocal n_seen
        progress(console, task, done, total, note)
        n_seen += task == "Training"
        if task == "Training" and n_seen == (1 if stopped_run == "match" else 5):
            os.kill(os.getpid(), signal.SIGINT)

    run, words = project.runs / "match", ("--control", "--base-spec-model", project.text_to_spec)
    with monkeypatch.context() as patch:
        patch.setattr(Console, "progress", press)
        stopped = match(*words)
    assert stopped.code == 130
    assert stopped.out == ""
    assert "with the same command and --resume" in stopped.err
    assert not (run / "report.html").exists()

    resumed = match(*words, "--resume")

    assert resumed.code == 0, resumed.err
    for part in ("", "control"):
        assert are_equal(final_weights(whole.run / part), final_weights(run / part))
    assert report_in(run)["results"] == report_in(whole.run)["results"]


def test_a_match_is_resumed_with_the_same_models_and_data_only(project, match, retimbre):
    assert match().code == 0
    other = project.root / "other.safetensors"
    assert retimbre("train", "text-to-spec", project.tuning).code == 0
    shutil.copy(project.runs / "tune" / "model.safetensors", other)
    untouched = ("preprocessed/", "metadata.csv")
    before = project.files(but=untouched)

    refused = retimbre("match", project.matching, "--spec-model", other, "--resume").error
    assert "found another text-to-spec model" in refused
    assert "-c name=…" in refused
    assert "another vocoder" in match("--resume", "--vocoder", project.exported).error
    assert "another data.held_out" in match("--resume", "-c", "data.held_out=[u2]").error
    project.say("one", "two", "three", "four", "five", "six", "seven", "eight")
    assert "another list of recordings" in match("--resume").error
    assert project.files(but=untouched) == before


def test_a_match_with_a_given_split_is_resumed_without_the_list_of_all(project, match):
    """Where both lists of the split are given, nobody reads the other one, which may be missing."""
    lists = {}
    for part in ("training", "validation"):
        lists[part] = project.root / f"{part}.psv"
        lists[part].write_bytes((project.preprocessed / f"{part}_filelist.psv").read_bytes())
    words = [word for part, path in lists.items() for word in ("-c", f"data.{part}_filelist={path}")]
    project.filelist.unlink()
    assert match("--anyway", *words).code == 0
    assert match("--anyway", "--resume", *words).code == 0

    lines = lists["training"].read_text(encoding="utf-8").splitlines(keepends=True)
    lists["training"].write_text("".join(lines[:-1]), encoding="utf-8")

    assert "another list of recordings" in match("--anyway", "--resume", *words).error


def test_a_match_goes_on_after_its_project_was_moved(whole, tmp_path, retimbre):
    moved = replace(whole.project, root=tmp_path / "moved")
    shutil.copytree(whole.project.root, moved.root)
    run = moved.runs / "match"
    shutil.rmtree(run / "control")

    words = ("--spec-model", moved.text_to_spec, "--base-spec-model", moved.text_to_spec, "--control")
    ended = retimbre("match", moved.matching, *words, "--resume")

    assert ended.code == 0, ended.err
    assert ended.out == f"{run / 'report.html'}\n"
    assert are_equal(final_weights(whole.run / "control"), final_weights(run / "control"))


def test_a_match_does_not_write_into_another_run(project, match):
    assert match().code == 0
    before = project.files(but=("preprocessed/",))

    assert "-c name=match-2" in match().error
    assert project.files(but=("preprocessed/",)) == before


def test_a_vocoder_without_discriminators_gets_new_ones_that_learn_first(project, match):
    ended = match("--vocoder", project.exported, "-c", "training.steps=4")

    assert ended.code == 0, ended.err
    assert "discriminators first 2 steps: they are new" in ended.err
    run = project.runs / "match"
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    learnt = {line["step"]: set(line) for line in lines if line["kind"] == "training"}
    assert "discriminators/adversarial" in learnt[1]
    assert "generator/mel" not in learnt[1] | learnt[2]
    assert "generator/mel" in learnt[3] & learnt[4]
    assert load_model(run / "model.safetensors").discriminators


def test_what_the_recipe_says_is_kept(project, match):
    words = (
        "training.log_every_steps=2",
        "training.validate_every_steps=3",
        "training.target_delay_samples=8",
    )
    ended = match(*(word for given in words for word in ("-c", given)))

    assert ended.code == 0, ended.err
    training = read_recipe(project.runs / "match" / "recipe.yaml").training
    assert (training.log_every_steps, training.validate_every_steps, training.steps) == (2, 3, 3)
    assert training.checkpoint_every_steps == 2
    assert training.target_delay_samples == 8


def test_a_match_with_little_to_win_back_trains_nothing_unless_forced(project, match, monkeypatch):
    monkeypatch.setattr("retimbre.matching.misfit.SMALL_LOSS_DB", 1000.0)

    ended = match()
    assert ended.code == 0
    assert ended.out == ""
    assert "nothing was trained; --anyway trains all the same" in ended.err
    assert not project.runs.exists()

    assert match("--anyway").code == 0
    assert (project.runs / "match" / "report.html").is_file()


def test_real_checkpoints_of_everyvoice_are_matched_on_their_recordings(project, parity, retimbre):
    folder = parity("everyvoice_project")
    runs = folder / "project" / "logs_and_checkpoints"
    text_to_spec = runs / "FeaturePredictionExperiment" / "base" / "checkpoints" / "last.ckpt"
    data = {
        "recordings": str(folder / "recordings"),
        "filelist": str(folder / "recordings" / "metadata.csv"),
        "preprocessed": "everyvoice",
        "held_out": ["LJ001-0002"],
    }
    recipe = project.changed(project.matching, data=data, training__steps=2)
    vocoder = folder / "project" / "exported.ckpt"

    ended = retimbre(
        "match", recipe, "--spec-model", text_to_spec, "--vocoder", vocoder, "--control", "--anyway"
    )

    assert ended.code == 0, ended.err
    assert "Training" in ended.err
    produced = project.root / "everyvoice" / "synthesized_spec"
    assert len(list(produced.iterdir())) == 4

"""Both stages are trained from the command line; a dry run leaves everything as it was."""

import json

import pytest
from safetensors.torch import load_file

from retimbre.checkpoint.digest import sha256_of
from retimbre.models.load import load_model
from retimbre.recipe.read import read_recipe


@pytest.fixture(params=["text-to-spec", "spec-to-wav"])
def stage(request):
    return request.param


def recipe_of(project, stage):
    return project.tuning if stage == "text-to-spec" else project.matching


def test_a_stage_is_trained_into_a_run_folder_and_only_its_model_is_told_on_stdout(project, retimbre, stage):
    before = project.files(but=("preprocessed/",))

    ended = retimbre("train", stage, recipe_of(project, stage))

    assert ended.code == 0, ended.err
    run = project.runs / ("tune" if stage == "text-to-spec" else "match")
    assert ended.out == f"{run / 'model.safetensors'}\n"
    base = project.text_to_spec if stage == "text-to-spec" else project.vocoder
    assert load_model(run / "model.safetensors").stage == stage
    old, new = load_file(base), load_file(run / "model.safetensors")
    assert old.keys() == new.keys()
    assert any(not old[name].equal(new[name]) for name in old)
    assert before.items() <= project.files().items()
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert {line["kind"] for line in lines} == {"training", "validation"}


def test_the_stored_recipe_is_complete_and_gives_the_same_run_again(project, retimbre, stage):
    assert retimbre("train", stage, recipe_of(project, stage)).code == 0
    run = project.runs / ("tune" if stage == "text-to-spec" else "match")

    assert retimbre("train", stage, run / "recipe.yaml", "-c", "name=again").code == 0

    assert read_recipe(run / "recipe.yaml").training.steps == 3
    states = [
        load_file(folder / "checkpoints" / "step-000003" / "model.safetensors")
        for folder in (run, run.parent / "again")
    ]
    assert all(states[0][name].equal(states[1][name]) for name in states[0])


def test_a_dry_run_tells_the_time_and_leaves_everything_as_it_was(project, retimbre, stage):
    before = project.files()

    ended = retimbre("train", stage, recipe_of(project, stage), "--dry-run")

    assert ended.code == 0, ended.err
    assert ended.out == ""
    assert "s per step; 3 steps take" in ended.err
    assert project.files() == before
    assert not project.runs.exists()


def test_a_dry_run_finds_what_would_stop_the_run(project, retimbre, stage):
    assert retimbre("train", stage, recipe_of(project, stage)).code == 0

    assert "there is a run in" in retimbre("train", stage, recipe_of(project, stage), "--dry-run").error


def test_base_on_the_command_line_wins_over_the_recipe(project, retimbre):
    assert retimbre("train", "text-to-spec", project.tuning).code == 0
    tuned = project.runs / "tune" / "model.safetensors"

    ended = retimbre("train", "text-to-spec", project.tuning, "--base", tuned, "-c", "name=second")

    assert ended.code == 0, ended.err
    described = load_model(project.runs / "second" / "model.safetensors").description
    assert described.lineage["base"]["sha256"] == sha256_of(tuned)
    assert read_recipe(project.runs / "second" / "recipe.yaml").base == tuned


def test_a_finished_run_that_is_resumed_stays_as_it_is(project, retimbre):
    assert retimbre("train", "text-to-spec", project.tuning).code == 0
    before = project.files(but=("preprocessed/", "runs/tune/events"))

    assert retimbre("train", "text-to-spec", project.tuning, "--resume").code == 0

    assert project.files(but=("preprocessed/", "runs/tune/events")) == before


def test_a_finished_run_goes_on_for_more_steps(project, retimbre):
    assert retimbre("train", "text-to-spec", project.tuning).code == 0

    ended = retimbre("train", "text-to-spec", project.tuning, "--resume", "-c", "training.steps=5")

    assert ended.code == 0, ended.err
    assert "at step 3 of 5" in ended.err
    assert (project.runs / "tune" / "latest").read_text() == "step-000005\n"


def test_training_from_scratch_needs_no_base(project, retimbre):
    sizes = {"dim": 8, "n_layers": 1, "feedforward_dim": 12}
    recipe = project.changed(project.tuning, base=None, text_to_spec=sizes)

    ended = retimbre("train", "text-to-spec", recipe)

    assert ended.code == 0, ended.err
    assert "from scratch" in ended.err
    assert load_model(project.runs / "tune" / "model.safetensors").description.sizes["encoder"]["dim"] == 8

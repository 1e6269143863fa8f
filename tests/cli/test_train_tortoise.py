"""TorToiSe's stages are trained from the command line: each run is complete, and every choice is told."""

import json
import os
import signal
from types import SimpleNamespace

import pytest
import yaml
from safetensors.torch import load_file

from building.tortoise_corpus import tortoise_corpus
from building.tortoise_runs import KINDS, tortoise_recipe
from retimbre.cli.console import Console
from retimbre.models.adapter import read_adapter
from retimbre.models.load import load_model
from retimbre.recipe.read import read_recipe

SHORT = {"steps": 2, "batch_size": 3, "validate_at_most": 1, "samples": 0, "log_every_steps": 1}


@pytest.fixture(scope="module")
def corpus(tortoise_set, tmp_path_factory):
    return tortoise_corpus(tmp_path_factory.mktemp("corpus"), tortoise_set)


@pytest.fixture
def place(corpus, tmp_path, monkeypatch):
    """Where runs are, and how recipes are written: place.recipe("LoRA")."""
    from retimbre.training import tortoise_forgetting

    monkeypatch.setattr(tortoise_forgetting, "SENTENCES", tortoise_forgetting.SENTENCES[:1])
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    def recipe(kind, **training):
        path = tmp_path / f"{kind}.yaml"
        settings = {**SHORT, **training}
        return tortoise_recipe(corpus, path, kind, name="run", runs=tmp_path / "runs", **settings)

    return SimpleNamespace(runs=tmp_path / "runs", run=tmp_path / "runs" / "run", recipe=recipe)


def said(ended):
    """What was told, without its line ends."""
    return " ".join(ended.err.split())


def weights(run, step):
    return load_file(run / "checkpoints" / f"step-{step:06d}" / "model.safetensors")


def is_same(one, other):
    return one.keys() == other.keys() and all(one[name].equal(other[name]) for name in one)


@pytest.mark.parametrize("kind", ["text-to-codes", "codes-to-spec", "decoder", "new dVAE", "spec-to-wav"])
def test_a_stage_is_trained_and_only_its_model_is_told_on_stdout(place, retimbre, kind):
    stage = KINDS[kind][0]
    ended = retimbre("train", stage, place.recipe(kind))

    assert ended.code == 0, ended.err
    assert ended.out == f"{place.run / 'model.safetensors'}\n"
    assert load_model(place.run / "model.safetensors").stage == stage
    for choice in ("batch", "learning rate", "steps", "warm-up", "validation", "patience"):
        assert f"Plan {choice}" in said(ended), choice
    assert read_recipe(place.run / "recipe.yaml").training.steps == 2
    lines = [json.loads(line) for line in (place.run / "metrics.jsonl").read_text().splitlines()]
    assert {line["kind"] for line in lines} == {"training", "validation"}


def test_the_stored_recipe_gives_the_same_run_again(place, retimbre):
    assert retimbre("train", "wav-to-codes", place.recipe("new dVAE")).code == 0

    ended = retimbre("train", "wav-to-codes", place.run / "recipe.yaml", "-c", "name=again")

    assert ended.code == 0, ended.err
    assert is_same(weights(place.run, 2), weights(place.runs / "again", 2))


def test_a_dry_run_tells_plan_and_time_and_makes_no_run(place, retimbre):
    ended = retimbre("train", "wav-to-codes", place.recipe("decoder"), "--dry-run")

    assert ended.code == 0, ended.err
    assert ended.out == ""
    assert "Plan learning rate" in said(ended)
    assert "s per step; 2 steps take" in ended.err
    assert not place.runs.exists()


def test_small_matrices_are_a_file_of_their_own(place, retimbre):
    recipe = place.recipe("text-to-codes")
    ended = retimbre("train", "text-to-codes", recipe, "--lora", "-c", "training.lora.rank=2")

    assert ended.code == 0, ended.err
    model = place.run / "model.safetensors"
    assert read_adapter(model).description.rank == 2
    assert model.stat().st_size < 60_000
    assert "Plan method LoRA of rank 2: as the recipe says" in said(ended)
    ended = retimbre("train", "text-to-codes", recipe, "--resume", "-c", "training.steps=3")
    assert ended.code == 0, ended.err  # what is not said again is as it was begun
    assert (place.run / "latest").read_text(encoding="utf-8") == "step-000003\n"


def test_what_dl_art_school_computes_is_had_by_name(place, retimbre):
    recipe = place.recipe("text-to-codes")
    ended = retimbre("train", "text-to-codes", recipe, "--as", "dlas", "-c", "training.steps=1")

    assert ended.code == 0, ended.err
    assert read_recipe(place.run / "recipe.yaml").tortoise.trains_as == "dlas"
    assert "'tortoise.trains_as'" in retimbre("train", "text-to-codes", recipe, "--as", "them").error


@pytest.mark.parametrize(
    ("kind", "words", "told"),
    [
        ("codes-to-spec", ["--as", "dlas"], "only text-to-codes is trained as DL-Art-School does"),
        ("decoder", ["--lora"], "training.lora is for text-to-codes and codes-to-spec"),
        ("spec-to-wav", ["--lora"], "training.lora is for text-to-codes and codes-to-spec"),
        ("text-to-codes", ["-c", "base=null"], "text-to-codes is tuned from a base"),
        ("decoder", ["-c", "tortoise.part=all"], "dvae.pth cannot be trained further as a whole"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line_before_anything_is_prepared(
    place, retimbre, monkeypatch, kind, words, told
):
    monkeypatch.setattr("retimbre.training.tortoise_build.prepare_tortoise", None)
    ended = retimbre("train", KINDS[kind][0], place.recipe(kind), *words)

    assert told in ended.error
    assert not place.runs.exists()


@pytest.mark.parametrize(
    "kind",
    [
        "text-to-codes",
        pytest.param("codes-to-spec", marks=pytest.mark.slow),
        "new dVAE",
        pytest.param("spec-to-wav", marks=pytest.mark.slow),
    ],
)
def test_ctrl_c_saves_and_leaves_with_130_and_the_run_goes_on_to_the_same_end(
    place, retimbre, monkeypatch, kind
):
    stage, recipe = KINDS[kind][0], place.recipe(kind, checkpoint_every_steps=10)
    assert retimbre("train", stage, recipe, "-c", "name=whole").code == 0
    progress = Console.progress

    def press(console, task, done, total, note=""):
        progress(console, task, done, total, note)
        if task == "Training" and done == 1:
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(Console, "progress", press)
        ended = retimbre("train", stage, recipe)
    assert ended.code == 130
    assert "go on with --resume" in ended.err
    assert (place.run / "latest").read_text(encoding="utf-8") == "step-000001\n"

    ended = retimbre("train", stage, recipe, "--resume")
    assert ended.code == 0, ended.err
    assert "Plan" not in ended.err
    assert is_same(weights(place.run, 2), weights(place.runs / "whole", 2))


def test_ctrl_c_while_it_prepares_leaves_no_run_behind(place, retimbre, monkeypatch):
    def interrupt(*asked, **more):
        raise KeyboardInterrupt

    monkeypatch.setattr("retimbre.training.tortoise_build.latents_for", interrupt)
    ended = retimbre("train", "codes-to-spec", place.recipe("codes-to-spec"))

    assert ended.code == 130
    assert "Traceback" not in ended.err
    assert not place.runs.exists()


def test_on_the_way_it_can_be_heard(place, retimbre):
    assert retimbre("train", "text-to-codes", place.recipe("text-to-codes", samples=1, steps=1)).code == 0

    names = {path.name for path in (place.run / "samples").rglob("*.wav")}
    assert any("base-sentence" in name for name in names), names


def test_a_project_that_was_moved_goes_on(place, retimbre, corpus, tmp_path):
    recipe = place.recipe("codes-to-spec")
    content = yaml.safe_load(recipe.read_text(encoding="utf-8"))
    models = tmp_path / "models"
    models.symlink_to(corpus.models)
    moved = tmp_path / "elsewhere" / "models"
    moved.parent.mkdir()
    recipe.write_text(yaml.safe_dump({**content, "tortoise": {"models": str(models)}}), encoding="utf-8")
    assert retimbre("train", "codes-to-spec", recipe).code == 0
    models.rename(moved)
    words = ("--resume", "-c", f"tortoise.models={moved}", "-c", "training.steps=3")

    ended = retimbre("train", "codes-to-spec", recipe, *words)

    assert ended.code == 0, ended.err

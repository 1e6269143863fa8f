"""Going on with a run: one process at a time, and what is stored stays true."""

import os
import signal
import subprocess
import sys

import pytest

from retimbre.errors import RunError
from retimbre.recipe.read import read_recipe
from retimbre.training.journal import read_journal
from retimbre.training.train import continue_training

HOLD = """
import sys
from pathlib import Path
from retimbre.jobs.lock import only_process
with only_process(Path(sys.argv[1]), "it"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_the_stored_recipe_follows_what_a_resume_changes_and_the_journal_says_so(begin, settings):
    run = begin("text-to-spec", settings(steps=3)).run
    for steps in (6, 6, 7):
        begin("text-to-spec", settings(steps=steps), is_resumed=True)

    assert read_recipe(run / "recipe.yaml").training.steps == 7
    assert read_journal(run, kind="resumed") == [
        {"step": 3, "kind": "resumed", "changed": {"steps": [3, 6]}},
        {"step": 6, "kind": "resumed", "changed": {"steps": [6, 7]}},
    ]


def test_a_resume_that_is_refused_leaves_the_stored_recipe(begin, settings):
    run = begin("text-to-spec", settings(steps=3)).run
    before = (run / "recipe.yaml").read_bytes()
    for path in run.glob("checkpoints/*/model.safetensors"):
        path.write_bytes(b"nothing")
    with pytest.raises(RunError, match="no whole checkpoint"):
        begin("text-to-spec", settings(steps=6), is_resumed=True)

    assert (run / "recipe.yaml").read_bytes() == before


@pytest.mark.parametrize("is_resumed", [False, True])
def test_a_run_that_another_process_works_on_is_refused_and_untouched(
    begin, settings, tmp_path, environment, is_resumed
):
    folder = tmp_path / "runs" / "run"
    folder.mkdir(parents=True)
    if is_resumed:
        begin("text-to-spec", settings(steps=2))
    (folder / ".recipe.yaml.01ab.part").write_text("na", encoding="utf-8")  # the other one is writing it
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    command = [sys.executable, "-c", HOLD, str(folder / "lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as holder:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(RunError, match=rf"^another process works on the run in {folder}\. Wait until"):
            begin("text-to-spec", settings(steps=4), is_resumed=is_resumed)
        after = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
        assert after == (before if is_resumed else before | {folder / "lock": after[folder / "lock"]})
        holder.stdin.close()
    assert begin("text-to-spec", settings(steps=4), is_resumed=is_resumed).progress.step == 4


def test_a_run_is_locked_as_long_as_it_trains_and_free_when_it_was_killed(
    server, recipe_file, logged_step, tmp_path
):
    recipe = recipe_file("text-to-spec", steps=1_000_000, validate_every_steps=1_000_000)
    process = server.begin(recipe)
    logged_step(tmp_path / "runs" / "run", 4)
    try:
        with pytest.raises(RunError, match="another process works on the run in"):
            continue_training(read_recipe(recipe), device="cpu")
    finally:
        os.kill(process, signal.SIGKILL)
        server.end()

    assert continue_training(read_recipe(recipe, ["training.steps=8"]), device="cpu").progress.step >= 8

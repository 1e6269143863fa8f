"""A run that is killed again and again ends as if nothing had happened, bit for bit."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SEEDS = (11, 23, 37, 41, 59)  # one for each moment at which a run is killed
FAMILIES = ("text-to-spec", "spec-to-wav")


def kill_at(moment: int, begin: Callable[..., int], wait: Callable[[int], None]) -> None:
    """Kill at a drawn moment: some time after a step, or just before some use of a file.

    Both are drawn. The second kind makes sure that kills fall into the writing of checkpoints.
    """
    draw = random.Random(SEEDS[moment])
    step, pause_s, operation = 2 * moment + draw.randint(1, 2), draw.uniform(0, 0.06), draw.randint(1, 120)
    if moment % 2:
        begin(kill_before_file_operation=operation)
    else:
        process = begin()
        wait(step)
        time.sleep(pause_s)
        os.kill(process, signal.SIGKILL)


@pytest.fixture(scope="module")
def uninterrupted(server: Any, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Path], Path]:
    """The run of a recipe that nobody killed, one for each family, without data workers."""
    runs: dict[str, Path] = {}

    def run(stage: str, recipe: Path) -> Path:
        if stage not in runs:
            folder = tmp_path_factory.mktemp(stage)
            server.train(recipe, overrides=[f"runs={folder}", "training.n_workers=0"])
            runs[stage] = folder / "run"
        return runs[stage]

    return run


@pytest.mark.parametrize("n_workers", [0, 2])
@pytest.mark.parametrize("stage", FAMILIES)
def test_a_run_killed_at_five_moments_equals_the_uninterrupted_one(
    stage, n_workers, server, recipe_file, uninterrupted, logged_step, compare, tmp_path
):
    recipe = recipe_file(stage, n_workers=n_workers)
    run = tmp_path / "runs" / "run"

    for moment in range(len(SEEDS)):
        kill_at(
            moment,
            lambda **order: server.begin(recipe, forks_workers=True, waits_for_its_end=True, **order),
            lambda step: logged_step(run, step),
        )
        assert server.end() == -signal.SIGKILL
    server.train(recipe, forks_workers=True)

    assert compare(uninterrupted(stage, recipe), run) == []


@pytest.mark.parametrize(
    ("stage", "flaw"),
    [
        ("text-to-spec", "weights"),
        ("text-to-spec", "optimisers"),
        ("text-to-spec", "generators"),  # of dropout
        ("text-to-spec", "position"),
        ("spec-to-wav", "weights"),
        ("spec-to-wav", "optimisers"),
        ("spec-to-wav", "position"),
    ],
)
def test_the_comparison_sees_what_was_not_restored(
    stage, flaw, server, recipe_file, uninterrupted, logged_step, compare, tmp_path
):
    recipe = recipe_file(stage)
    process = server.begin(recipe, waits_for_its_end=True)
    logged_step(tmp_path / "runs" / "run", 7)
    os.kill(process, signal.SIGKILL)
    server.end()
    server.train(recipe, flaw=flaw)

    found = compare(uninterrupted(stage, recipe), tmp_path / "runs" / "run")

    assert any("step-000012/model.safetensors" in difference for difference in found)


@pytest.mark.slow
@pytest.mark.parametrize("stage", FAMILIES)
def test_a_run_may_be_killed_before_any_use_of_a_file(stage, server, recipe_file, compare, tmp_path):
    settings = {"steps": 3, "checkpoint_every_steps": 1, "validate_every_steps": 2, "keep_checkpoints": 1}
    server.train(recipe_file(stage, name="whole", **settings))
    operation, status = 0, -signal.SIGKILL
    while status == -signal.SIGKILL:
        operation += 1
        recipe = recipe_file(stage, name=f"killed-{operation}", **settings)
        server.begin(recipe, kill_before_file_operation=operation)
        status = server.end()
        if status:
            server.train(recipe)
        run = tmp_path / "runs" / f"killed-{operation}"
        assert compare(tmp_path / "runs" / "whole", run) == [], f"killed before file operation {operation}"
    assert operation > 40


@pytest.mark.slow
@pytest.mark.parametrize("n_workers", [0, 2])
@pytest.mark.parametrize("stage", FAMILIES)
def test_the_command_killed_at_five_moments_and_resumed_equals_the_uninterrupted_one(
    stage, n_workers, server, recipe_file, uninterrupted, logged_step, compare, environment, tmp_path
):
    recipe = recipe_file(stage, n_workers=n_workers)
    run = tmp_path / "runs" / "run"
    command = [sys.executable, "-m", "retimbre", "train", stage, str(recipe), "-a", "cpu"]

    def begin() -> "subprocess.Popen[bytes]":
        resume = ["--resume"] if (run / "recipe.yaml").exists() else []
        return subprocess.Popen([*command, *resume], env=environment, stderr=subprocess.DEVNULL)

    for moment, seed in enumerate(SEEDS):
        draw = random.Random(seed)
        process = begin()
        logged_step(run, 2 * moment + draw.randint(1, 2))
        time.sleep(draw.uniform(0, 0.06))
        process.kill()
        process.wait()
    assert begin().wait() == 0

    assert compare(uninterrupted(stage, recipe), run) == []

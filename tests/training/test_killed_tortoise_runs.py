"""Each of TorToiSe's stages, interrupted again and again, ends as if nothing had happened, bit for bit."""

import json
import os
import shutil
import signal

import pytest

from building.interruptions import interruptions
from building.tortoise_corpus import tortoise_corpus
from building.tortoise_runs import KINDS, tortoise_recipe

SEED = 7  # of the moments in the default tests
SEEDS = (101, 211, 307, 401, 503)  # of those in the slow ones
N_STEPS = 8
EVERY_FEW_STEPS = {
    "steps": N_STEPS,
    "batch_size": 2,
    "log_every_steps": 1,
    "validate_every_steps": 3,
    "checkpoint_every_steps": 2,
    "keep_checkpoints": 1,  # those of an interrupted run lie at other steps
    "validate_at_most": 1,
    "samples": 0,
    "optimiser": {"learning_rate": 0.003},
}


@pytest.fixture(scope="module")
def corpus(tortoise_set, tmp_path_factory):
    return tortoise_corpus(tmp_path_factory.mktemp("corpus"), tortoise_set)


@pytest.fixture(scope="module")
def uninterrupted(corpus, server, tmp_path_factory):
    """The run of a kind that nobody interrupted, and how long a step took."""
    known = {}

    def run(kind):
        if kind not in known:
            folder = tmp_path_factory.mktemp("whole")
            path = folder / "recipe.yaml"
            server.train(tortoise_recipe(corpus, path, kind, name="run", runs=folder, **EVERY_FEW_STEPS))
            state = folder / "run" / "checkpoints" / f"step-{N_STEPS:06d}" / "state.json"
            seconds = json.loads(state.read_text(encoding="utf-8"))["progress"]["seconds"]
            known[kind] = folder / "run", seconds / N_STEPS
        return known[kind]

    return run


@pytest.fixture
def interrupted(corpus, server, uninterrupted, logged_step, tmp_path):
    """Interrupt a run of a kind, then let it come to its end: interrupted("LoRA", moments)."""

    def run(kind, moments):
        recipe = tortoise_recipe(
            corpus, tmp_path / "recipe.yaml", kind, name="run", runs=tmp_path, **EVERY_FEW_STEPS
        )
        for moment in moments:
            moment.happen(
                lambda **order: server.begin(recipe, waits_for_its_end=True, **order),
                server.end,
                lambda step: logged_step(tmp_path / "run", step),
                step_s=uninterrupted(kind)[1],
            )
        server.train(recipe)
        return tmp_path / "run"

    return run


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_that_is_interrupted_again_and_again_equals_the_uninterrupted_one(
    kind, interrupted, uninterrupted, compare
):
    run = interrupted(kind, interruptions(SEED, n=4, n_steps=N_STEPS))

    assert compare(uninterrupted(kind)[0], run) == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", KINDS)
def test_whatever_the_moments_are_it_equals_the_uninterrupted_one(
    kind, seed, interrupted, uninterrupted, compare
):
    run = interrupted(kind, interruptions(seed, n=6, n_steps=N_STEPS))

    assert compare(uninterrupted(kind)[0], run) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "flaw"),
    [
        ("text-to-codes", "optimisers"),
        ("text-to-codes", "generators"),  # of dropout
        ("LoRA", "weights"),
        ("LoRA", "position"),
        ("codes-to-spec", "generators"),  # of noise
        ("new dVAE", "weights"),  # its code book among them
        ("decoder", "optimisers"),
        ("spec-to-wav", "generators"),  # of noise
    ],
)
def test_the_comparison_sees_what_was_not_restored(
    kind, flaw, corpus, server, uninterrupted, logged_step, compare, tmp_path
):
    recipe = tortoise_recipe(
        corpus, tmp_path / "recipe.yaml", kind, name="run", runs=tmp_path, **EVERY_FEW_STEPS
    )
    process = server.begin(recipe, waits_for_its_end=True)
    logged_step(tmp_path / "run", 5)
    os.kill(process, signal.SIGINT)
    server.end()
    shutil.rmtree(tmp_path / "run" / "checkpoints" / f"step-{N_STEPS:06d}", ignore_errors=True)
    server.train(recipe, flaw=flaw)

    found = compare(uninterrupted(kind)[0], tmp_path / "run")
    assert any("model.safetensors" in difference for difference in found)

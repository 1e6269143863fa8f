"""Killed while it prepares what TorToiSe's stages learn from, a training makes only what is missing then."""

import random
import signal

import pytest

from building.tortoise_corpus import tortoise_corpus
from building.tortoise_runs import tortoise_recipe
from retimbre.checkpoint.read import read_tensor
from retimbre.data.tensors import read_tensors

SEEDS = (3, 5)  # the second is for the slow test
PLACES = ("audio", "codes", "voice", "latents", "synthesized_spec")  # in the order in which they are made
SHORT = {"steps": 1, "batch_size": 2, "validate_at_most": 1}


def whole_files(preprocessed):
    """Path of each finished file -> when it was written; a spec is finished with what is known of it."""
    paths = {path for place in PLACES for path in (preprocessed / place).rglob("*") if path.is_file()}
    files = {path for path in paths if not path.name.startswith(".")}
    done = {path for path in files if path.suffix != ".pt" or path.with_suffix(".json") in files}
    return {path: path.stat().st_mtime_ns for path in done}


def contents(preprocessed):
    """Everything in a folder of material that a training reads."""
    found = {}
    for path in whole_files(preprocessed):
        name = str(path.relative_to(preprocessed))
        if path.suffix == ".safetensors":
            file = read_tensors(path)
            found[name] = {key: value.tolist() for key, value in file.tensors.items()}, dict(file.facts)
        elif path.suffix == ".pt":
            found[name] = read_tensor(path).tolist()
        elif path.suffix == ".wav":
            found[name] = path.read_bytes()
    return found


def kill_in_each_place(server, recipe, preprocessed, seed):
    """Kill one process after another in the midst of each place; what was there before stays as it was."""
    draw = random.Random(seed)
    for place in PLACES:
        before = whole_files(preprocessed)
        server.begin(
            recipe, kill_before_file_operation=draw.randint(2, 20), watched=str(preprocessed / place)
        )
        assert server.end() == -signal.SIGKILL, place
        after = whole_files(preprocessed)
        assert before.items() <= after.items(), place


@pytest.mark.parametrize(
    "seed", [SEEDS[0], *(pytest.param(seed, marks=pytest.mark.slow) for seed in SEEDS[1:])]
)
def test_what_was_prepared_before_a_kill_is_kept_and_what_is_missing_is_made_as_it_would_have_been(
    seed, server, tortoise_set, compare, tmp_path
):
    corpora = {name: tortoise_corpus(tmp_path / name, tortoise_set) for name in ("whole", "killed")}
    recipes = {
        name: tortoise_recipe(
            corpus, tmp_path / f"{name}.yaml", "spec-to-wav", name=name, runs=tmp_path / "runs", **SHORT
        )
        for name, corpus in corpora.items()
    }
    preprocessed = {name: corpus.root / "preprocessed" for name, corpus in corpora.items()}
    server.train(recipes["whole"])

    kill_in_each_place(server, recipes["killed"], preprocessed["killed"], seed)
    kept = whole_files(preprocessed["killed"])
    assert {path.relative_to(preprocessed["killed"]).parts[0] for path in kept} >= set(PLACES)
    server.train(recipes["killed"])

    assert kept.items() <= whole_files(preprocessed["killed"]).items()
    assert contents(preprocessed["killed"]) == contents(preprocessed["whole"])
    assert compare(tmp_path / "runs" / "whole", tmp_path / "runs" / "killed") == []

"""The experiment on TorToiSe's training: one thing differs at a time, and each clip is held out once."""

from collections import Counter
from pathlib import Path

import pytest

from retimbre.data.manifest import read_filelist

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def plans(monkeypatch, shared):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import tortoise_plan

    assert tortoise_plan.LJ.is_relative_to(shared)
    return tortoise_plan


@pytest.fixture
def results(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import tortoise_results

    return tortoise_results


@pytest.fixture
def plan(plans, tmp_path):
    return plans.Plan(corpus=tmp_path / "corpus", folder=tmp_path / "experiment", steps=plans.Steps(tune=8))


def without_names(recipe):
    """A recipe as plain values, without where it writes."""
    found = recipe.model_dump(mode="json")
    del found["name"], found["data"]["preprocessed"]
    return found


def test_each_clip_of_the_unseen_speaker_is_held_out_once(plans):
    held = Counter(name for fold in range(plans.N_FOLDS) for name in plans.held_out(fold))
    everything = [one.basename for one in read_filelist(plans.LJ / "metadata.csv")]
    assert held == Counter(everything)
    assert len(everything) == 41


def test_both_ways_of_training_differ_in_what_is_computed_alone(plans, plan):
    ours, theirs = (
        without_names(plan.tuned(plans.Tuning(mode=mode, seed=2, fold=1))) for mode in plans.MODES
    )
    assert (ours["tortoise"].pop("trains_as"), theirs["tortoise"].pop("trains_as")) == plans.MODES
    assert ours == theirs


def test_matched_and_control_differ_in_whose_latents_they_learn_from_alone(plans, plan):
    tuning = plans.ONCE_EACH[1]
    ours, theirs = (without_names(plan.matched(tuning, to=to)) for to in ("tuned", "base"))
    assert ours["tortoise"].pop("text_to_codes") != theirs["tortoise"].pop("text_to_codes")
    assert ours == theirs
    assert (
        ours["training"]["loss"]["noise_from_step"] == 0
    )  # or a short run would teach the first guess alone


def test_no_run_that_is_compared_ends_early_and_none_is_planned_by_the_memory_at_hand(plans, plan):
    recipes = [plan.dvae(), plan.base(), plan.diffusion(), plan.diffusion_further()]
    recipes.append(plan.tuned(plans.TUNINGS[0]))
    for recipe in recipes:
        assert recipe.training.patience == (2 if recipe.name == "base" else 0)  # what is compared never does
        assert {"precision", "batch_parts", "lora", "steps", "batch_size"} <= recipe.training.model_fields_set
        optimiser = recipe.training.optimiser.model_fields_set
        assert {"learning_rate", "schedule", "clip_norm", "weight_decay", "betas"} <= optimiser


def test_every_run_has_a_folder_of_its_own(plans, plan):
    names = [plan.tuned(tuning).name for tuning in plans.TUNINGS]
    names += [plan.matched(tuning, to=to).name for tuning in plans.ONCE_EACH for to in ("tuned", "base")]
    assert len(set(names)) == len(names) == 18 + 6


def utterance(codes, forced, *, speaks=True):
    found = {"codes": codes, "stop": 1.0, "text": 2.0, "codes_as_dlas_hears": codes + 1, "n_codes": 100}
    found["forced"] = [forced]
    return found | ({"greedy": [None], "sampled": [99, None, 103, 120]} if speaks else {})


def test_the_table_shows_means_and_both_intervals(plans, results, plan):
    names = [name for fold in range(plans.N_FOLDS) for name in plans.held_out(fold)]
    for fold in range(plans.N_FOLDS):
        held = {name: utterance(4.0, 100) for name in plans.held_out(fold)}
        plans.write(plan.measures(f"base-fold-{fold}"), held)
    for tuning in plans.TUNINGS:
        is_ours = tuning.mode == "inference"
        for step in (2, 8):
            held = {
                name: utterance(
                    (3.0 if is_ours else 3.5) + 0.01 * names.index(name),
                    101 if is_ours else None,
                    speaks=step == 8,
                )
                for name in plans.held_out(tuning.fold)
            }
            plans.write(plan.measures(f"{tuning.name}-step-{step}"), held)

    found = results.table(plan)

    assert "After 8 steps, 41 held-out utterances, 3 seeds." in found
    codes = next(line for line in found.splitlines() if line.startswith("| codes, nats"))
    assert "| 4.000 | 3.200 | 3.700 | -0.500 (" in codes
    forced = next(line for line in found.splitlines() if "forced |" in line and "within" in line)
    assert "| 1.000 | 1.000 | 0.000 | +1.000 (" in forced
    sampled = next(line for line in found.splitlines() if line.startswith("| ends within 2 codes, sampled"))
    assert "| 0.250 | 0.250 | 0.250 |" in sampled
    assert "| +0 | +1 | +inf |" in found
    assert "\n| 2 | 3.200 / 3.700" in found


def test_the_matched_decoder_is_compared_with_both_others(plans, results, plan):
    for tuning in plans.ONCE_EACH:
        held = {
            name: {"matched": 0.5, "control": 0.6 + number / 1000, "base": 0.9}
            for number, name in enumerate(plans.held_out(tuning.fold))
        }
        plans.write(plan.measures(f"diffusion-seed-{tuning.seed}-fold-{tuning.fold}"), held)
    found = results.diffusion_table(plan)
    assert "41 held-out utterances." in found
    assert "| base | 0.9000 | -0.4000 (" in found
    assert "| control | 0.60" in found


def test_what_was_not_measured_is_no_table(results, plan):
    assert results.table(plan) == ""

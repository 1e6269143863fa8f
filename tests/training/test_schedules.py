"""Learning rates are functions of the step."""

import pytest

from retimbre.recipe.training import Optimiser
from retimbre.training.schedules import learning_rate

KINDS = ("constant", "noam", "exponential", "cosine")


def rates(n_steps=200, **changes):
    settings = Optimiser(learning_rate=0.01, warmup_steps=20, **changes)
    return [learning_rate(settings, step, n_steps) for step in range(n_steps)]


@pytest.mark.parametrize("schedule", KINDS)
def test_the_learning_rate_rises_to_its_peak_at_the_end_of_the_warm_up(schedule):
    found = rates(schedule=schedule)

    peak = 20 if schedule == "noam" else 19  # EveryVoice's first two steps have one rate

    assert found[0] == pytest.approx(0.01 / 20)
    assert found[: peak + 1] == sorted(found[: peak + 1])
    assert found[peak] == pytest.approx(0.01)
    assert max(found) == pytest.approx(0.01)


@pytest.mark.parametrize("schedule", KINDS)
def test_after_the_warm_up_the_learning_rate_never_rises(schedule):
    after = rates(schedule=schedule)[20:]

    assert after == sorted(after, reverse=True)
    assert min(after) > 0


def test_without_warm_up_the_first_step_has_the_peak():
    for schedule in KINDS:
        settings = Optimiser(learning_rate=0.01, schedule=schedule)
        assert learning_rate(settings, 0, 100) == pytest.approx(0.01)


def test_cosine_ends_at_a_twentieth_and_stays_there():
    settings = Optimiser(learning_rate=1.0, schedule="cosine")

    assert learning_rate(settings, 50, 100) == pytest.approx(0.525)
    assert learning_rate(settings, 100, 100) == pytest.approx(0.05)
    assert learning_rate(settings, 300, 100) == pytest.approx(0.05)


def test_exponential_loses_its_factor_every_thousand_steps():
    settings = Optimiser(learning_rate=1.0, schedule="exponential", decay=0.5)

    assert learning_rate(settings, 2000, 9999) == pytest.approx(0.25)


def test_noam_falls_with_the_root_of_the_step():
    settings = Optimiser(learning_rate=1.0, schedule="noam", warmup_steps=100)

    assert learning_rate(settings, 400, 9999) == pytest.approx(0.5)


@pytest.mark.parametrize("warmup_steps", [1, 7, 1000])
def test_noam_is_everyvoices_formula_with_its_count_of_steps(warmup_steps):
    settings = Optimiser(learning_rate=0.003, schedule="noam", warmup_steps=warmup_steps)

    for step in (0, 1, 2, 6, 7, 8, 999, 1000, 1001, 50_000):
        s = max(1, step)
        expected = 0.003 * warmup_steps**0.5 * min(s**-0.5, s * warmup_steps**-1.5)
        assert learning_rate(settings, step, 99_999) == pytest.approx(expected, rel=1e-12)


def test_a_run_that_is_shorter_than_its_schedule_begins_as_the_whole_one():
    whole = rates(n_steps=200, schedule="cosine")
    begun = rates(n_steps=120, schedule="cosine", schedule_steps=200)

    assert begun == whole[:120]
    assert begun != rates(n_steps=120, schedule="cosine")


def test_at_each_milestone_the_rate_falls_by_its_factor():
    settings = Optimiser(learning_rate=1.0, schedule="milestones", milestones=(3, 5), gamma=0.5)

    assert [learning_rate(settings, step, 8) for step in range(7)] == [1.0, 1.0, 1.0, 0.5, 0.5, 0.25, 0.25]

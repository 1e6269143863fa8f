"""Learning rates are functions of the step."""

import pytest

from retimbre.recipe.recipe import Optimiser
from retimbre.training.schedules import learning_rate

KINDS = ("constant", "noam", "exponential", "cosine")


def rates(n_steps=200, **changes):
    settings = Optimiser(learning_rate=0.01, warmup_steps=20, **changes)
    return [learning_rate(settings, step, n_steps) for step in range(n_steps)]


@pytest.mark.parametrize("schedule", KINDS)
def test_the_learning_rate_rises_to_its_peak_at_the_end_of_the_warm_up(schedule):
    found = rates(schedule=schedule)

    assert found[0] == pytest.approx(0.01 / 20)
    assert found[:20] == sorted(found[:20])
    assert found[19] == pytest.approx(0.01)
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

    assert learning_rate(settings, 399, 9999) == pytest.approx(0.5)

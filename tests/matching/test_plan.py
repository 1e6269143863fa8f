"""Each choice of a matching plan follows a rule, and says which one; what the recipe says is kept."""

import pytest

from retimbre.matching.plan import Facts, make_plan
from retimbre.pipelines.delay import Delay
from retimbre.recipe.training import Optimiser, Training

IN_TIME = Delay(n_samples=4, correlation=0.93)
LATE = Delay(n_samples=212, correlation=0.88)


def facts(**changed):
    given = {
        "duration_s": 600.0,
        "segment_s": 0.4,
        "hop_samples": 256,
        "delay": IN_TIME,
        "has_discriminators": True,
    }
    return Facts(**(given | changed))


def planned(training=None, **changed):
    """The training section and the choices by name."""
    plan = make_plan(training or Training(batch_size=8), facts(**changed))
    return plan.training, {choice.choice: choice for choice in plan.choices}


def test_steps_are_so_many_passes_over_the_speech():
    training, choices = planned()

    assert training.steps == 60 * 600 / (0.4 * 8)
    assert choices["steps"].value == "11,250"
    assert choices["steps"].reason == "60 passes over 10.0 min of speech"


@pytest.mark.parametrize(("duration_s", "steps", "wanted"), [(4.0, 200, "75"), (36000.0, 25_000, "675,000")])
def test_steps_stay_within_limits_and_the_reason_says_what_was_wanted(duration_s, steps, wanted):
    training, choices = planned(duration_s=duration_s)

    assert training.steps == steps
    assert f"would be {wanted}; kept within 200 and 25,000" in choices["steps"].reason


def test_a_part_of_a_step_is_a_step():
    training, _ = planned(duration_s=20.0, segment_s=0.7)

    assert training.steps == 215  # 60 * 20 / (0.7 * 8) = 214.3


def test_a_budget_shortens_the_run_and_the_reason_says_by_what():
    training, choices = planned(budget_s=90.0, step_s=0.25)

    assert training.steps == 360
    assert choices["steps"].reason.endswith("; 360 fit into 90 s at 0.25 s a step")


def test_a_budget_that_is_large_enough_changes_nothing():
    training, choices = planned(budget_s=9000.0, step_s=0.25)

    assert training.steps == 11_250
    assert "fit into" not in choices["steps"].reason


def test_a_budget_leaves_twenty_steps_at_least():
    training, _ = planned(budget_s=1.0, step_s=5.0)

    assert training.steps == 20


def test_steps_of_the_recipe_are_kept_even_against_a_budget():
    training, choices = planned(Training(steps=777), budget_s=1.0, step_s=5.0)

    assert training.steps == 777
    assert (choices["steps"].value, choices["steps"].reason) == ("777", "as the recipe says")


@pytest.mark.parametrize(
    ("steps", "rate", "reason"), [(1999, 1e-4, "too short"), (2000, 2e-5, "long enough")]
)
def test_the_learning_rate_follows_from_the_length_of_the_run(steps, rate, reason):
    training, choices = planned(Training(steps=steps))

    assert training.optimiser.learning_rate == rate
    assert reason in choices["learning rate"].reason
    assert choices["learning rate"].value == f"{rate:g}"


def test_the_learning_rate_of_the_recipe_is_kept_with_the_rest_of_its_optimiser():
    given = Training(steps=50, optimiser=Optimiser(learning_rate=3e-6, betas=(0.5, 0.9)))
    training, choices = planned(given)

    assert training.optimiser == given.optimiser
    assert choices["learning rate"].reason == "as the recipe says"


def test_an_optimiser_without_a_learning_rate_gets_one_and_keeps_the_rest():
    training, _ = planned(Training(steps=50, optimiser=Optimiser(weight_decay=0.5)))

    assert training.optimiser == Optimiser(weight_decay=0.5, learning_rate=1e-4)


def test_discriminators_of_the_checkpoint_need_no_start():
    training, choices = planned()

    assert training.discriminators_first_steps == 0
    assert choices["discriminators first"].reason == "the checkpoint brings trained ones"


@pytest.mark.parametrize(("steps", "first"), [(1000, 100), (60, 10), (12, 6), (3, 1), (1, 0)])
def test_new_discriminators_learn_first_but_never_for_most_of_the_run(steps, first):
    training, choices = planned(Training(steps=steps), has_discriminators=False)

    assert training.discriminators_first_steps == first
    assert choices["discriminators first"].value == f"{first} steps"
    assert "they are new" in choices["discriminators first"].reason


@pytest.mark.parametrize("has_discriminators", [True, False])
def test_what_the_recipe_says_of_discriminators_is_kept(has_discriminators):
    training, choices = planned(
        Training(steps=100, discriminators_first_steps=7), has_discriminators=has_discriminators
    )

    assert training.discriminators_first_steps == 7
    assert choices["discriminators first"].reason == "as the recipe says"


@pytest.mark.parametrize(
    "delay",
    [
        IN_TIME,
        Delay(n_samples=64, correlation=0.99),
        Delay(n_samples=-64, correlation=0.99),
        Delay(n_samples=400, correlation=0.31),
    ],
    ids=["in time", "a little late", "a little early", "unsure"],
)
@pytest.mark.parametrize("steps", [500, 5000])
def test_a_delay_that_is_small_or_unsure_is_left_alone(delay, steps):
    training, choices = planned(Training(steps=steps), delay=delay)

    assert training.target_delay_samples == 0
    assert "no clear delay" in choices["target delay"].reason
    assert (
        f"{delay.n_samples:+d} samples, correlation {delay.correlation:.2f}" in choices["target delay"].reason
    )


@pytest.mark.parametrize("late", [212, -212])
def test_a_short_run_keeps_the_delay_that_the_vocoder_has_learnt(late):
    training, choices = planned(Training(steps=1999), delay=Delay(n_samples=late, correlation=0.88))

    assert training.target_delay_samples == late
    assert choices["target delay"].value == f"{late} samples"
    assert f"{late:+d} samples late (correlation 0.88)" in choices["target delay"].reason
    assert "too short to unlearn it" in choices["target delay"].reason


def test_a_long_run_unlearns_the_delay():
    training, choices = planned(Training(steps=2000), delay=LATE)

    assert training.target_delay_samples == 0
    assert "long enough to unlearn it" in choices["target delay"].reason


def test_the_target_delay_of_the_recipe_is_kept():
    training, choices = planned(Training(steps=100, target_delay_samples=-3), delay=LATE)

    assert training.target_delay_samples == -3
    assert choices["target delay"].reason == "as the recipe says"


@pytest.mark.parametrize(("steps", "every", "log"), [(800, 100, 20), (100, 12, 5), (3, 1, 1)])
def test_a_run_is_measured_eight_times_and_logged_twenty_times_unless_that_is_too_often(steps, every, log):
    training, _ = planned(Training(steps=steps))

    assert training.validate_every_steps == training.checkpoint_every_steps == every
    assert training.log_every_steps == log


def test_intervals_of_the_recipe_are_kept():
    given = {"validate_every_steps": 33, "checkpoint_every_steps": 44, "log_every_steps": 55}
    training, _ = planned(Training(steps=800, **given))

    assert {name: getattr(training, name) for name in given} == given


def test_matching_always_trains_on_produced_specs_and_keeps_everything_else():
    given = Training(
        steps=300, batch_size=5, seed=99, segment_frames=48, precision="bf16-mixed", frozen=("a",)
    )
    training, _ = planned(given)

    assert training.spec_source == "produced"
    for name in ("steps", "batch_size", "seed", "segment_frames", "precision", "frozen", "loss"):
        assert getattr(training, name) == getattr(given, name)


def test_every_choice_is_told_with_a_reason():
    _, choices = planned(has_discriminators=False, delay=LATE)

    assert list(choices) == [
        "learning rate",
        "steps",
        "pitch and energy of the pairs",
        "discriminators first",
        "target delay",
    ]
    assert all(choice.value and choice.reason for choice in choices.values())

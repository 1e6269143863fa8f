"""What a match of TorToiSe's stages plans beyond their training, and how many utterances it judges."""

from dataclasses import replace

import pytest

from retimbre.matching import plan as vocoder_plan
from retimbre.matching.tortoise_plan import LARGE, n_judged, plan_decoder, plan_vocoder
from retimbre.pipelines.delay import Delay
from retimbre.recipe.training import LossWeights, Training
from retimbre.training.tortoise_plan import PATIENCE, Facts, Speech

LATE = Delay(n_samples=128, correlation=0.9)


def facts(stage, n_utterances=60):
    return Facts(stage=stage, speech=Speech(n_utterances=n_utterances))


def vocoder(**changed):
    given = {
        "duration_s": 300.0,
        "segment_s": 0.34,
        "hop_samples": 256,
        "delay": LATE,
        "has_discriminators": False,
    }
    return vocoder_plan.Facts(**(given | changed))


def by_name(plan):
    return {choice.choice: choice for choice in plan.choices}


@pytest.mark.parametrize("given", [Training(), Training(loss=LossWeights(noise_from_step=200))])
def test_a_decoder_whose_noise_does_not_count_yet_is_not_over_trained(given):
    given = given.model_copy(update={"validate_every_steps": 7})

    plan = plan_decoder(given, facts("codes-to-spec"))

    waiting = plan.training.loss.noise_from_step
    assert waiting > PATIENCE * 7  # else this would prove nothing
    assert (plan.training.patience - PATIENCE) * 7 >= waiting
    assert by_name(plan)["patience"].value == str(plan.training.patience)


def test_what_the_recipe_says_of_patience_is_kept():
    given = Training(loss=LossWeights(noise_from_step=200), validate_every_steps=30, patience=2)

    assert plan_decoder(given, facts("codes-to-spec")).training.patience == 2


def test_a_vocoders_match_begins_with_new_discriminators_alone_and_keeps_a_delay_in_a_short_run():
    plan = plan_vocoder(Training(steps=100, validate_every_steps=1), facts("spec-to-wav"), vocoder())

    training = plan.training
    assert training.spec_source == "produced"
    assert training.discriminators_first_steps == 10
    assert by_name(plan)["discriminators first"].value == "10"
    assert training.target_delay_samples == 128
    assert training.patience == PATIENCE + 10
    assert "too short to unlearn" in by_name(plan)["target delay"].reason


def test_a_long_run_unlearns_the_delay_and_trained_discriminators_do_not_wait():
    given = Training(steps=vocoder_plan.LONG_RUN_STEPS)
    trained = replace(facts("spec-to-wav"), has_discriminators=True)

    training = plan_vocoder(given, trained, vocoder(has_discriminators=True)).training

    assert (training.discriminators_first_steps, training.target_delay_samples) == (0, 0)
    assert training.patience == PATIENCE


@pytest.mark.parametrize(
    ("n_held_out", "n_numbers", "is_cpu", "n"),
    [
        (5, LARGE, True, 5),
        (8, LARGE, True, 8),
        (90, LARGE, True, 8),
        (90, LARGE, False, 24),
        (90, LARGE - 1, True, 24),
    ],
)
def test_so_many_utterances_are_judged_as_the_decoder_is_quick(n_held_out, n_numbers, is_cpu, n):
    found, choice = n_judged(n_held_out, n_numbers, is_cpu=is_cpu)

    assert found == n
    assert choice.value == f"{n} of {n_held_out}"
    assert ("CPU" in choice.reason) == (is_cpu and n_numbers >= LARGE and n < n_held_out)

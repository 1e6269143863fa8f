"""The verdict says what the intervals say, and no more."""

import numpy as np
import pytest

from retimbre.evaluate.interval import Interval
from retimbre.evaluate.measures import MCD, MEL_DISTANCE, PESQ, VOICING_ERROR
from retimbre.evaluate.table import scores
from retimbre.report.verdict import Control, Outcome, outcome, verdict, verdict_of


def interval(mean, low, high, n_pairs=24):
    return Interval(mean=mean, low=low, high=high, n_pairs=n_pairs)


def test_a_clear_fall_of_distortion_is_a_gain():
    found = verdict(MCD, against_unmatched=interval(-0.42, -0.55, -0.30))
    assert found.outcome is Outcome.BETTER
    assert found.sentence == (
        "Matched is better than unmatched by 0.42 dB (95 % 0.30 to 0.55, 24 utterances) "
        "in mel-cepstral distortion."
    )


def test_an_interval_with_zero_inside_is_no_gain():
    found = verdict(MCD, against_unmatched=interval(-0.1, -0.3, 0.1))
    assert found.outcome is Outcome.NO_GAIN
    assert found.sentence.startswith("No gain:")
    assert "includes zero" in found.sentence


def test_a_clear_rise_of_distortion_is_said_to_be_worse():
    found = verdict(MCD, against_unmatched=interval(0.4, 0.2, 0.6))
    assert found.outcome is Outcome.WORSE
    assert found.sentence.startswith("No gain: matched is worse than unmatched by 0.40 dB (95 % 0.20 to 0.60")


def test_where_higher_is_better_a_rise_is_a_gain():
    assert outcome(PESQ, interval(0.4, 0.2, 0.6)) is Outcome.BETTER
    assert outcome(PESQ, interval(-0.4, -0.6, -0.2)) is Outcome.WORSE


@pytest.mark.parametrize("n_pairs", [0, 1, 5])
def test_too_few_utterances_claim_nothing(n_pairs):
    found = verdict(MCD, against_unmatched=interval(-2.0, -2.2, -1.8, n_pairs))
    assert found.outcome is Outcome.NO_GAIN
    assert found.sentence.startswith("No gain can be claimed")


def test_the_gain_is_shared_between_matching_and_adaptation():
    (detail,) = verdict(
        MCD, against_unmatched=interval(-1.63, -1.8, -1.44), against_control=interval(-0.92, -1.1, -0.7)
    ).details
    assert "Of the gain of 1.63 dB, 0.92 dB (95 % 0.70 to 1.10) comes from matching" in detail
    assert "0.71 dB, is adaptation" in detail


def test_a_control_that_gained_nothing_leaves_all_to_matching():
    (detail,) = verdict(
        MCD, against_unmatched=interval(-0.5, -0.6, -0.4), against_control=interval(-0.7, -0.8, -0.6)
    ).details
    assert detail.startswith("All of the gain comes from matching")


def test_no_difference_from_the_control_is_not_called_matching():
    (detail,) = verdict(
        MCD, against_unmatched=interval(-1.0, -1.2, -0.8), against_control=interval(0.01, -0.1, 0.1)
    ).details
    assert "may as well be adaptation" in detail


def test_a_better_control_is_recommended():
    (detail,) = verdict(
        MCD, against_unmatched=interval(-1.0, -1.2, -0.8), against_control=interval(0.3, 0.2, 0.4)
    ).details
    assert "keep the control vocoder" in detail


def test_a_control_that_learnt_on_something_else_is_called_by_it():
    told = Control(learnt_on="other latents", kept="decoder")
    details = [
        verdict(
            MCD,
            against_unmatched=interval(-1.0, -1.2, -0.8),
            against_control=interval(*against),
            control=told,
        ).details[0]
        for against in ((0.3, 0.2, 0.4), (-1.2, -1.3, -1.1))
    ]
    assert details[0].startswith("The same steps on other latents do better than matching")
    assert "keep the control decoder" in details[0]
    assert "the same steps on other latents gained nothing" in details[1]


def test_a_measure_that_disagrees_is_not_hidden():
    found = verdict(
        MCD,
        against_unmatched=interval(-1.0, -1.2, -0.8),
        others=[(MEL_DISTANCE, interval(-0.1, -0.2, -0.05)), (VOICING_ERROR, interval(2.0, 1.0, 3.0))],
    )
    assert "Clearly better too: mel distance (−0.100 nepers)." in found.details
    assert "But clearly worse: voicing error (+2.0 percentage points)." in found.details


def test_a_table_gives_its_verdict_with_and_without_a_control():
    generator = np.random.default_rng(0)
    found = {
        str(i): {"tuned": {"mcd": 7 + generator.random()}, "matched": {"mcd": 5 + generator.random()}}
        for i in range(12)
    }
    without = verdict_of(scores([MCD], ["tuned", "matched"], found))
    assert without.outcome is Outcome.BETTER
    assert without.details == ()
    for of_utterance in found.values():
        of_utterance["control"] = {"mcd": of_utterance["matched"]["mcd"] + 0.5 + generator.random()}
    assert (
        "comes from matching" in verdict_of(scores([MCD], ["tuned", "control", "matched"], found)).details[0]
    )

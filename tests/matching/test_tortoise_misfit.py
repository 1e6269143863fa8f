"""What the drift of a tuned text-to-codes costs a decoder is what its validation says of both."""

import pytest

from retimbre.matching.tortoise_misfit import DecoderError, Drift, UnknownDrift


def drift(noise, mel):
    return Drift(on_base=DecoderError(noise=0.2, mel=0.5), on_tuned=DecoderError(noise=noise, mel=mel))


@pytest.mark.parametrize(
    ("noise", "mel", "can_help"),
    [
        (0.2, 0.5, False),
        (0.2019, 0.519, False),
        (0.21, 0.5, True),  # the noise alone
        (0.2, 0.53, True),  # quick specs alone
        (0.15, 0.4, False),  # the drift is a gain
    ],
)
def test_matching_can_help_where_the_drift_costs_something(noise, mel, can_help):
    found = drift(noise, mel)

    assert found.can_help is can_help
    assert found.sentence.endswith("can help" if can_help else "has little to win back")


def test_the_sentence_says_what_was_measured():
    sentence = drift(0.21, 0.53).sentence

    assert "0.2100 instead of 0.2000" in sentence
    assert "+5.0 %" in sentence
    assert "0.530 instead of 0.500 nepers" in sentence


def test_a_drift_that_cannot_be_measured_does_not_stop_a_match():
    assert UnknownDrift().can_help
    assert "--base-spec-model" in UnknownDrift().sentence

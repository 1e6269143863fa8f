"""What follows from the losses of several trials."""

import math
from pathlib import Path

import numpy as np
import pytest

from retimbre.pipelines.probe_result import Probe, Trial

DRAW = np.random.default_rng(5)
LOSSES = DRAW.uniform(1.0, 2.0, 40)


def probe_of(*code_losses):
    """Trials of 2, 4, 8 … heads with these losses; 1,000 codes to guess among."""
    trials = [
        Trial(heads=2 ** (n + 1), residual="x + h", code_losses=tuple(map(float, losses)), text_loss=1.0)
        for n, losses in enumerate(code_losses)
    ]
    return Probe(
        network=Path("ar.pth"),
        codebook=Path("dvae.pth"),
        recording=Path("a.wav"),
        duration_s=2.0,
        n_codes=len(LOSSES) - 1,
        n_symbols=12,
        n_code_rows=1000,
        tried=("heads",),
        trials=tuple(sorted(trials, key=lambda trial: trial.code_loss)),
    )


def test_a_difference_at_every_code_decides_from_one_hundredth_of_guessing_on():
    least = 0.01 * math.log(1000)

    assert probe_of(LOSSES, LOSSES + 1.01 * least).decided == {"heads": 2}
    assert probe_of(LOSSES, LOSSES + 0.99 * least).decided == {}


def test_a_difference_that_one_code_alone_makes_decides_nothing():
    one = LOSSES.copy()
    one[7] += 20.0

    found = probe_of(LOSSES, one)

    assert found.trials[1].code_loss - found.trials[0].code_loss > 7 * found.margin
    assert found.decided == {}


def test_every_rival_must_be_beaten_and_not_only_the_next():
    one = LOSSES.copy()
    one[7] += 20.0  # the mean is 0.5 higher

    found = probe_of(LOSSES, LOSSES + 0.3, one)

    assert found.decided == {}
    assert f"heads undecided (2: {LOSSES.mean():.3f} and 8: {one.mean():.3f})" in found.verdict


def test_what_is_barely_below_guessing_is_not_known():
    guessing = math.log(1000)

    assert not probe_of(np.full(40, guessing - 0.05), np.full(40, guessing + 3)).knows
    assert probe_of(np.full(40, guessing - 0.1), np.full(40, guessing + 3)).decided == {"heads": 2}


@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_what_is_no_number_loses_against_every_number(broken):
    one = LOSSES.copy()
    one[3] = broken

    found = probe_of(one, LOSSES)

    assert found.decided == {"heads": 4}
    assert found.to_dict()["trials"][1]["code_loss"] is None
    assert not probe_of(one, one).knows

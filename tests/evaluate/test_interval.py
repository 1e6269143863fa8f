"""Intervals are as wide as the differences are unsure."""

import json
import math

import numpy as np
import pytest

from retimbre.errors import DataError
from retimbre.evaluate.interval import Interval, paired_interval


def test_interval_contains_the_true_difference_about_nineteen_times_in_twenty():
    generator = np.random.default_rng(0)
    hits = 0
    for seed in range(200):
        common = 10 * generator.standard_normal(12)  # hard and easy utterances: pairing removes this
        a = common + generator.standard_normal(12) + 0.5
        b = common + generator.standard_normal(12)
        found = paired_interval(a, b, n_resamples=600, seed=seed)
        hits += found.low <= 0.5 <= found.high
    assert 0.89 <= hits / 200 <= 0.99


def test_pairing_finds_a_small_difference_among_unequal_utterances():
    generator = np.random.default_rng(1)
    hard = 10 * generator.standard_normal(20)
    found = paired_interval(hard + 0.1 * generator.standard_normal(20) - 0.4, hard)
    assert found.is_clear_of_zero
    assert found.low < found.mean < found.high < 0


def test_the_same_seed_gives_the_same_interval():
    generator = np.random.default_rng(2)
    a, b = generator.standard_normal(9), generator.standard_normal(9)
    assert paired_interval(a, b, seed=5) == paired_interval(a, b, seed=5)
    assert paired_interval(a, b, seed=5) != paired_interval(a, b, seed=6)


def test_missing_values_leave_their_pair_out():
    nan = float("nan")
    found = paired_interval([1.0, nan, 3.0, 4.0], [0.0, 0.0, nan, 1.0])
    assert found.n_pairs == 2
    assert found.mean == pytest.approx(2.0)


def test_five_equal_signs_are_not_yet_clear():
    assert not paired_interval([1.0, 1.1, 1.2, 1.3, 1.4], [0.0] * 5).is_clear_of_zero
    assert paired_interval([1.0, 1.1, 1.2, 1.3, 1.4, 1.5], [0.0] * 6).is_clear_of_zero


def test_one_pair_says_nothing_about_others():
    found = paired_interval([2.0], [1.0])
    assert (found.low, found.high) == (-math.inf, math.inf)
    assert math.isnan(paired_interval([], []).mean)


def test_no_difference_at_all_includes_zero():
    assert not paired_interval([1.0] * 8, [1.0] * 8).is_clear_of_zero


def test_unequal_numbers_cannot_be_paired():
    with pytest.raises(DataError, match="cannot be paired"):
        paired_interval([1.0, 2.0], [1.0])


def test_an_interval_survives_json():
    found = paired_interval([1.0, 2.0, 4.0], [0.5, 0.1, 0.2])
    assert Interval.from_dict(json.loads(json.dumps(found.to_dict()))) == found
    unbounded = paired_interval([2.0], [1.0])
    assert json.loads(json.dumps(unbounded.to_dict(), allow_nan=False))["low"] is None

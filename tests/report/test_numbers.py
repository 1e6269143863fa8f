"""Numbers read well."""

import math

import pytest

from retimbre.evaluate.interval import Interval
from retimbre.evaluate.measures import MCD, PESQ, VOICING_ERROR
from retimbre.report.numbers import bounds, difference, direction, number


@pytest.mark.parametrize(
    ("value", "n_decimals", "text"),
    [
        (-1.234, 2, "−1.23"),
        (12345.6, 0, "12,346"),
        (-0.001, 2, "0.00"),
        (math.nan, 2, "–"),
        (-math.inf, 1, "−∞"),
    ],
)
def test_numbers_have_a_true_minus_and_no_negative_zero(value, n_decimals, text):
    assert number(value, n_decimals) == text


def test_differences_of_percentages_are_percentage_points():
    assert difference(-2.2, VOICING_ERROR) == "−2.2 percentage points"
    assert difference(0.5, MCD) == "+0.50 dB"


def test_bounds_and_arrows():
    assert bounds(Interval(mean=-0.4, low=-0.55, high=0.3, n_pairs=9), MCD) == "−0.55 to 0.30"
    assert (direction(MCD), direction(PESQ)) == ("↓", "↑")

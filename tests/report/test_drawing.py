"""Curves and intervals are drawn where their numbers lie."""

import math
import re

import pytest

from retimbre.evaluate.interval import Interval
from retimbre.report.contents import Curve
from retimbre.report.drawing import curve_svg, interval_svg


def test_a_falling_curve_ends_lower_than_it_starts_and_names_its_ends():
    drawn = curve_svg(Curve(name="loss <b>", points=((0, 2.0), (100, 1.5), (400, 0.5))))
    points = re.search(r'points="([^"]+)"', drawn)[1].split()
    heights = [float(point.split(",")[1]) for point in points]
    assert heights == sorted(heights)
    assert ">2.00<" in drawn
    assert ">0.50<" in drawn
    assert "loss &lt;b&gt;" in drawn


@pytest.mark.parametrize("points", [(), ((5, 1.0),), ((0, math.nan),), ((0, 1.0), (1, 1.0))])
def test_curves_without_height_or_points_can_be_drawn(points):
    assert curve_svg(Curve(name="x", points=points)).startswith("<")


def test_an_interval_below_zero_lies_left_of_the_middle():
    interval = Interval(mean=-1.0, low=-1.5, high=-0.5, n_pairs=9)
    drawn = interval_svg(interval, most=2.0, outcome="better", title="t")
    assert float(re.search(r'cx="([\d.]+)"', drawn)[1]) < 100


def test_an_interval_without_end_stays_inside_the_picture():
    interval = Interval(mean=0.0, low=-math.inf, high=math.inf, n_pairs=1)
    drawn = interval_svg(interval, most=0.0, outcome="no-gain", title="t")
    assert all(0 <= float(x) <= 200 for x in re.findall(r'(?:x1|x2|cx)="([^"]+)"', drawn))

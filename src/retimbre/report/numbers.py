"""Numbers as people read them."""

import math

from retimbre.evaluate.interval import Interval
from retimbre.evaluate.measures import Measure


def number(value: float | int, n_decimals: int, *, has_sign: bool = False) -> str:
    """With a real minus sign; a dash where there is none, and no minus before a rounded zero."""
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    text = f"{value:{'+' if has_sign else ''},.{n_decimals}f}"
    if not any(digit in text for digit in "123456789"):
        text = text.lstrip("+-")
    return text.replace("-", "−")


def difference(value: float, measure: Measure, *, has_sign: bool = True) -> str:
    """A difference of two values of a measure, with its unit."""
    unit = "percentage points" if measure.unit == "%" else measure.unit
    return f"{number(value, measure.n_decimals, has_sign=has_sign)} {unit}"


def bounds(interval: Interval, measure: Measure) -> str:
    """'−0.55 to −0.30'."""
    low, high = (number(value, measure.n_decimals) for value in (interval.low, interval.high))
    return f"{low} to {high}"


def direction(measure: Measure) -> str:
    """An arrow that says which way is better."""
    return "↓" if measure.lower_is_better else "↑"

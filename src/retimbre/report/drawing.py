"""Curves and intervals as SVG inside the page; colours come from the style sheet by class."""

from collections.abc import Sequence

from retimbre.evaluate.interval import Interval
from retimbre.report.contents import Curve
from retimbre.report.markup import Html, tag
from retimbre.report.numbers import number

CURVE_WIDTH, CURVE_HEIGHT = 320.0, 130.0
LEFT, RIGHT, TOP, BOTTOM = 46.0, 10.0, 10.0, 22.0  # room for the labels
INTERVAL_WIDTH, INTERVAL_HEIGHT = 200.0, 20.0


def curve_svg(curve: Curve) -> Html:
    """One number over the steps, with its lowest and highest value at the side."""
    points = [(step, value) for step, value in curve.points if abs(value) < float("inf")]
    if not points:
        return tag("p", "no values", class_="quiet")
    steps, values = [float(step) for step, _ in points], [value for _, value in points]
    low, high = min(values), max(values)
    width, height = CURVE_WIDTH - LEFT - RIGHT, CURVE_HEIGHT - TOP - BOTTOM
    places = [
        (
            LEFT + width * _share(float(step), min(steps), max(steps)),
            TOP + height * (1 - _share(value, low, high)),
        )
        for step, value in points
    ]
    n_decimals = _decimals(high - low, high)
    bottom = TOP + height
    drawn = [
        grid_line(LEFT, TOP, CURVE_WIDTH - RIGHT),
        grid_line(LEFT, bottom, CURVE_WIDTH - RIGHT),
        tag("polyline", points=" ".join(f"{x:.1f},{y:.1f}" for x, y in places), class_="curve"),
        tag("circle", cx=f"{places[-1][0]:.1f}", cy=f"{places[-1][1]:.1f}", r="2.5", class_="curve-end"),
        label(LEFT - 5, TOP + 4, number(high, n_decimals), "end"),
        label(LEFT - 5, bottom + 4, number(low, n_decimals), "end"),
        label(LEFT, CURVE_HEIGHT - 5, number(min(steps), 0), "start"),
        label(CURVE_WIDTH - RIGHT, CURVE_HEIGHT - 5, f"step {number(max(steps), 0)}", "end"),
    ]
    title = f"{curve.name}: from {number(values[0], n_decimals)} to {number(values[-1], n_decimals)}"
    return picture_svg(drawn, CURVE_WIDTH, CURVE_HEIGHT, title)


def interval_svg(interval: Interval, *, most: float, outcome: str, title: str) -> Html:
    """A bar from low to high with a dot at the mean; the middle of the picture is zero, its ends +-most."""
    middle, y = INTERVAL_WIDTH / 2, INTERVAL_HEIGHT / 2

    def place(value: float) -> float:
        share = max(-1.0, min(1.0, value / most)) if most > 0 else 0.0
        return middle + share * (middle - 6)

    drawn = [_line(middle, 1.0, middle, INTERVAL_HEIGHT - 1, "zero")]
    if interval.n_pairs:
        drawn += [
            _line(place(interval.low), y, place(interval.high), y, f"bar {outcome}"),
            tag("circle", cx=f"{place(interval.mean):.1f}", cy=f"{y:.1f}", r="4", class_=f"dot {outcome}"),
        ]
    return picture_svg(drawn, INTERVAL_WIDTH, INTERVAL_HEIGHT, title)


def picture_svg(drawn: Sequence[Html], width: float, height: float, title: str) -> Html:
    """Everything that was drawn, under a title for those who cannot see it."""
    return tag(
        "svg",
        tag("title", title),
        *drawn,
        viewBox=f"0 0 {width:g} {height:g}",
        role="img",
    )


def grid_line(x1: float, y: float, x2: float) -> Html:
    """A quiet level line."""
    return _line(x1, y, x2, y, "grid")


def _line(x1: float, y1: float, x2: float, y2: float, style: str) -> Html:
    return tag("line", x1=f"{x1:.1f}", y1=f"{y1:.1f}", x2=f"{x2:.1f}", y2=f"{y2:.1f}", class_=style)


def label(x: float, y: float, text: str, anchor: str) -> Html:
    """A small text whose `anchor` (start, middle, end) is at x."""
    return tag("text", text, x=f"{x:.1f}", y=f"{y:.1f}", text_anchor=anchor)


def _share(value: float, low: float, high: float) -> float:
    return (value - low) / (high - low) if high > low else 0.5


def _decimals(spread: float, high: float) -> int:
    """Enough that the lowest and the highest label differ."""
    size = spread if spread > 0 else abs(high)
    return 0 if size >= 100 else 1 if size >= 10 else 2 if size >= 0.1 else 4

"""The parts of the page that hold numbers: means, differences, what measures mean, levels."""

import math
from collections.abc import Mapping, Sequence

from retimbre.evaluate.interval import FEWEST_PAIRS
from retimbre.evaluate.measures import Measure
from retimbre.evaluate.sanity import Levels
from retimbre.evaluate.table import Scores
from retimbre.report.contents import Compared, Comparison, Kind, ReportData, System
from retimbre.report.drawing import interval_svg
from retimbre.report.markup import Content, Html, joined, tag
from retimbre.report.numbers import bounds, difference, direction, number
from retimbre.report.verdict import Outcome, outcome

WORDS = {Outcome.BETTER: "better", Outcome.WORSE: "worse", Outcome.NO_GAIN: "no clear difference"}


def table(head: Sequence[Content], rows: Sequence[Sequence[Content]], *, style: str = "") -> Html:
    """A table whose first column names its rows; it scrolls by itself on a narrow screen."""
    top = tag("tr", *(tag("th", cell, scope="col") for cell in head))
    body = [tag("tr", tag("th", row[0], scope="row"), *(tag("td", cell) for cell in row[1:])) for row in rows]
    inner = tag("table", tag("thead", top), tag("tbody", *body), class_=style or None)
    return tag("div", inner, class_="scroll", tabindex="0")


def named(system: System, position: int) -> Html:
    """A system's name behind a dot of its colour."""
    return tag("span", tag("i", class_=f"spot system-{position}"), system.name, class_="system")


def scores_section(report: ReportData, kind: Kind) -> Html:
    """Means of every system and the paired differences, of utterances of one kind."""
    scores = report.scores.get(kind)
    if scores is None or not scores.utterances or not scores.measures:
        return Html("")
    return joined(
        tag("h3", f"Means over {len(scores.utterances)} {kind} utterances"),
        means_table(report, scores),
        *(differences(report, kind, comparison) for comparison in report.comparisons),
        tag("h3", "What these measures tell, and what they do not"),
        tag("dl", *(definition(measure) for measure in scores.measures), class_="definitions"),
    )


def means_table(report: ReportData, scores: Scores) -> Html:
    """One row per measure, one column per system that has a score; the best mean of a row is bold."""
    shown = [
        (position, system)
        for position, system in enumerate(report.systems)
        if system.name in scores.systems
        and any(not math.isnan(scores.mean(measure, system.name)) for measure in scores.measures)
    ]
    rows = [
        _means_row(measure, [scores.mean(measure, system.name) for _, system in shown])
        for measure in scores.measures
    ]
    return table(
        ["measure", *(named(system, position) for position, system in shown)], rows, style="numbers means"
    )


def _means_row(measure: Measure, means: Sequence[float]) -> list[Content]:
    known = [mean for mean in means if not math.isnan(mean)]
    best = (min(known) if measure.lower_is_better else max(known)) if known else None
    cells = [number(mean, measure.n_decimals) for mean in means]
    return [
        _measure_name(measure),
        *(tag("b", cell) if mean == best else cell for mean, cell in zip(means, cells, strict=True)),
    ]


def _measure_name(measure: Measure) -> Html:
    how = "lower is better" if measure.lower_is_better else "higher is better"
    return joined(
        measure.name,
        " ",
        tag("span", measure.unit, " ", tag("span", direction(measure), title=how), class_="unit"),
    )


def differences(report: ReportData, kind: Kind, comparison: Comparison) -> Html:
    """One comparison in every measure, drawn and written."""
    found = [compared for compared in report.compared(kind) if compared.comparison == comparison]
    if not found:
        return Html("")
    return joined(
        tag("h3", comparison.label),
        tag("p", comparison.meaning, class_="quiet") if comparison.meaning else None,
        tag("div", *(_difference_row(report, kind, compared) for compared in found), class_="differences"),
    )


def _difference_row(report: ReportData, kind: Kind, compared: Compared) -> Html:
    measure, interval = compared.measure, compared.interval
    result = outcome(measure, interval)
    style = result.value.replace(" ", "-")
    if interval.n_pairs == 0:
        text, word = "no values", ""
    else:
        text = f"{difference(interval.mean, measure)} ({bounds(interval, measure)})"
        word = (
            f"too few utterances ({interval.n_pairs})" if interval.n_pairs < FEWEST_PAIRS else WORDS[result]
        )
    drawn = interval_svg(
        interval, most=_widest(report, kind, measure), outcome=style, title=f"{measure.name}: {text}"
    )
    return tag(
        "div",
        tag("span", _measure_name(measure), class_="what"),
        drawn,
        tag("span", text, class_="size"),
        tag("span", word, class_=f"word {style}"),
        class_="difference",
    )


def _widest(report: ReportData, kind: Kind, measure: Measure) -> float:
    """One scale for a measure in all comparisons."""
    ends = [
        abs(end)
        for compared in report.compared(kind)
        if compared.measure.key == measure.key
        for end in (compared.interval.low, compared.interval.high, compared.interval.mean)
    ]
    return max((end for end in ends if math.isfinite(end)), default=0.0)


def definition(measure: Measure) -> Html:
    """What a measure means and does not tell."""
    how = "lower is better" if measure.lower_is_better else "higher is better"
    return joined(
        tag(
            "dt", measure.name, " ", tag("span", f"{measure.unit} {direction(measure)} {how}", class_="unit")
        ),
        tag("dd", measure.definition, " ", tag("b", "Blind spot: "), measure.blind_spot),
    )


def levels_table(report: ReportData, found: Mapping[tuple[str, str], Levels]) -> Html:
    """Is every system's audio there, whole and loud enough? `found` has (utterance, system) as keys."""
    rows = []
    for position, system in enumerate(report.systems):
        of_system = [levels for (_, name), levels in found.items() if name == system.name]
        if of_system:
            rows.append([named(system, position), *_levels_row(of_system)])
    if not rows:
        return Html("")
    return table(
        ["system", "files", "loudest peak, dBFS", "mean level, dBFS", "clipped", "silent", "broken"],
        rows,
        style="numbers",
    )


def _levels_row(of_system: Sequence[Levels]) -> list[Content]:
    heard = [levels.rms_db for levels in of_system if math.isfinite(levels.rms_db)]
    return [
        str(len(of_system)),
        number(max(levels.peak_db for levels in of_system), 1),
        number(sum(heard) / len(heard) if heard else -math.inf, 1),
        _count(sum(levels.is_clipped for levels in of_system)),
        _count(sum(levels.is_silent and levels.is_playable for levels in of_system)),
        _count(sum(not levels.is_playable for levels in of_system)),
    ]


def _count(n: int) -> Content:
    return tag("b", str(n), class_="worse") if n else "none"

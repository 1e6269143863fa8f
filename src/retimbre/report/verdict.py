"""Did matching help? One honest sentence, and what stands behind it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from retimbre.evaluate.interval import FEWEST_PAIRS, Interval
from retimbre.evaluate.measures import MCD, Measure
from retimbre.evaluate.table import Scores
from retimbre.report.numbers import bounds, difference, number


class Outcome(StrEnum):
    """What the measure that decides says."""

    BETTER = "better"
    NO_GAIN = "no gain"
    WORSE = "worse"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The result of a run in words."""

    outcome: Outcome
    sentence: str
    details: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Control:
    """What the control of a match is.

    Args:
        name: Of its system; None where there is none.
        learnt_on: What it learnt on instead of what the stage before it really produces.
        kept: What is kept of it where it does better.
    """

    name: str | None = "control"
    learnt_on: str = "real specs"
    kept: str = "vocoder"


VOCODER_CONTROL = Control()


def outcome(measure: Measure, interval: Interval) -> Outcome:
    """Whether a difference (ours - theirs) speaks for ours, for theirs or for neither."""
    if not interval.is_clear_of_zero:
        return Outcome.NO_GAIN
    is_lower = interval.mean < 0
    return Outcome.BETTER if is_lower == measure.lower_is_better else Outcome.WORSE


def verdict(
    measure: Measure,
    *,
    against_unmatched: Interval,
    against_control: Interval | None = None,
    others: Sequence[tuple[Measure, Interval]] = (),
    control: Control = VOCODER_CONTROL,
) -> Verdict:
    """The sentence of a matching run.

    Args:
        measure: The one that decides; it must be chosen before the scores are known.
        against_unmatched: matched - unmatched.
        against_control: matched - control, where control had the same steps on something else.
        others: Further measures of matched - unmatched, so that a disagreement is not hidden.
        control: What it learnt on.
    """
    result = outcome(measure, against_unmatched)
    details = []
    if against_control is not None:
        details.append(_share_of_matching(measure, result, against_unmatched, against_control, control))
    details += _disagreements(result, others)
    return Verdict(
        outcome=result, sentence=_sentence(measure, result, against_unmatched), details=tuple(details)
    )


def verdict_of(
    scores: Scores,
    *,
    measure: Measure = MCD,
    matched: str = "matched",
    unmatched: str = "tuned",
    control: Control = VOCODER_CONTROL,
) -> Verdict:
    """The verdict of a table of teacher-forced scores."""
    name = control.name if control.name in scores.systems else None
    others = [other for other in scores.measures if other.key != measure.key]
    return verdict(
        measure,
        against_unmatched=scores.interval(measure, matched, unmatched),
        against_control=scores.interval(measure, matched, name) if name else None,
        others=[(other, scores.interval(other, matched, unmatched)) for other in others],
        control=control,
    )


def _sentence(measure: Measure, result: Outcome, interval: Interval) -> str:
    if interval.n_pairs < FEWEST_PAIRS:
        if not interval.n_pairs:
            return f"No gain can be claimed: no held-out utterance has a {measure.name} of both."
        return (
            f"No gain can be claimed: {interval.n_pairs} held-out utterances are too few (at least "
            f"{FEWEST_PAIRS}); {measure.name} changed by {_difference(measure, interval)}."
        )
    if result is Outcome.NO_GAIN:
        return (
            f"No gain: matched and unmatched differ by {_difference(measure, interval)} in {measure.name}, "
            "and the interval includes zero."
        )
    size = _difference(measure, _as_size(interval), has_sign=False)
    if result is Outcome.BETTER:
        return f"Matched is better than unmatched by {size} in {measure.name}."
    return f"No gain: matched is worse than unmatched by {size} in {measure.name}."


def _share_of_matching(
    measure: Measure,
    result: Outcome,
    against_unmatched: Interval,
    against_control: Interval,
    control: Control,
) -> str:
    """What comes from matching, and what from more training on this voice."""
    by_matching = outcome(measure, against_control)
    if by_matching is Outcome.WORSE:
        return (
            f"The same steps on {control.learnt_on} do better than matching, by "
            f"{_size(measure, against_control)}: keep the control {control.kept}."
        )
    if by_matching is Outcome.NO_GAIN:
        found = f"Matched and control differ by {_difference(measure, against_control)}: no clear difference"
        if result is not Outcome.BETTER:
            return f"{found}."
        return f"{found}, so the gain may as well be adaptation to the voice as matching."
    if result is not Outcome.BETTER:
        size = _size(measure, against_control)
        return f"It is better than the same steps on {control.learnt_on} by {size}."
    gain, share = abs(against_unmatched.mean), abs(against_control.mean)
    rest = gain - share
    if rest > 0:
        return (
            f"Of the gain of {difference(gain, measure, has_sign=False)}, "
            f"{_size(measure, against_control)} comes from matching; "
            f"the rest, {difference(rest, measure, has_sign=False)}, is adaptation to the voice."
        )
    return (
        f"All of the gain comes from matching: the same steps on {control.learnt_on} gained nothing, and "
        f"matched is better than they by {_size(measure, against_control)}."
    )


def _disagreements(result: Outcome, others: Sequence[tuple[Measure, Interval]]) -> list[str]:
    sayings = []
    for wanted, words in ((Outcome.BETTER, "better"), (Outcome.WORSE, "worse")):
        found = [
            f"{measure.name} ({difference(interval.mean, measure)})"
            for measure, interval in others
            if outcome(measure, interval) is wanted and round(interval.mean, measure.n_decimals)
        ]
        if found:
            start = "Clearly" if result is wanted else "But clearly"
            also = " too" if result is wanted else ""
            sayings.append(f"{start} {words}{also}: {', '.join(found)}.")
    return sayings


def _difference(measure: Measure, interval: Interval, *, has_sign: bool = True) -> str:
    mean = difference(interval.mean, measure, has_sign=has_sign)
    return f"{mean} (95 % {bounds(interval, measure)}, {number(interval.n_pairs, 0)} utterances)"


def _size(measure: Measure, interval: Interval) -> str:
    size = _as_size(interval)
    return f"{difference(size.mean, measure, has_sign=False)} (95 % {bounds(size, measure)})"


def _as_size(interval: Interval) -> Interval:
    """The same interval without its sign; it must be clear of zero."""
    low, high = sorted((abs(interval.low), abs(interval.high)))
    return replace(interval, mean=abs(interval.mean), low=low, high=high)

"""How sure is a difference between two ways of training, over utterances and over seeds.

Two intervals of 95 %, which answer two questions:

utterances  Would it be so with other sentences? Each utterance counts once, with its mean over the seeds; the
            bootstrap of `retimbre.evaluate.interval`.
seeds       Would it be so with other random numbers? Each counts once, with its mean over the utterances;
            Student's t, which with three seeds has two degrees of freedom and is wide.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.stats import t

from retimbre.evaluate.interval import CONFIDENCE, Interval, paired_interval

Scored = Mapping[int, Mapping[str, float]]  # seed -> utterance -> score


@dataclass(frozen=True, kw_only=True)
class Sure:
    """A mean difference and both intervals."""

    mean: float
    over_utterances: Interval
    over_seeds: tuple[float, float]

    @property
    def is_clear(self) -> bool:
        """Neither interval holds zero."""
        low, high = self.over_seeds
        return self.over_utterances.is_clear_of_zero and (low > 0 or high < 0)

    def to_text(self, n_decimals: int = 3) -> str:
        """The mean, then both."""
        utterances, (low, high) = self.over_utterances, self.over_seeds
        d = n_decimals
        return (
            f"{self.mean:+.{d}f} (utterances {utterances.low:+.{d}f} to {utterances.high:+.{d}f}; "
            f"seeds {low:+.{d}f} to {high:+.{d}f})"
        )


def difference(ours: Scored, theirs: Scored) -> Sure:
    """Ours - theirs. Only what both have measured counts, seed by seed and utterance by utterance."""
    pairs = {
        seed: {name: ours[seed][name] - theirs[seed][name] for name in ours[seed] if name in theirs[seed]}
        for seed in ours
        if seed in theirs
    }
    names = sorted({name for of_seed in pairs.values() for name in of_seed})
    by_name = [
        float(np.mean([of_seed[name] for of_seed in pairs.values() if name in of_seed])) for name in names
    ]
    by_seed = [float(np.mean(list(of_seed.values()))) for of_seed in pairs.values() if of_seed]
    return Sure(
        mean=float(np.mean(by_name)) if by_name else float("nan"),
        over_utterances=paired_interval(by_name, [0.0] * len(by_name)),
        over_seeds=_student(by_seed),
    )


def mean_of(scored: Scored) -> float:
    """Over all utterances, each with its mean over the seeds."""
    names = sorted({name for of_seed in scored.values() for name in of_seed})
    means = [
        float(np.mean([of_seed[name] for of_seed in scored.values() if name in of_seed])) for name in names
    ]
    return float(np.mean(means)) if means else float("nan")


def _student(values: list[float]) -> tuple[float, float]:
    if len(values) < 2:
        return -float("inf"), float("inf")
    reach = t.ppf((1 + CONFIDENCE) / 2, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values))
    middle = float(np.mean(values))
    return middle - float(reach), middle + float(reach)

"""How sure is a difference: a bootstrap interval over utterances, each system judged on the same ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64
from scipy.stats import norm, t

from retimbre.errors import DataError

CONFIDENCE = 0.95
FEWEST_PAIRS = 6  # five differences of equal sign happen by chance one time in sixteen
SLICE = 256  # resamples at once, so that a large test set needs little memory


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A mean difference and where it lies with 95 % confidence."""

    mean: float
    low: float
    high: float
    n_pairs: int

    @property
    def is_clear_of_zero(self) -> bool:
        """The whole interval lies on one side of zero, and enough utterances say so."""
        return self.n_pairs >= FEWEST_PAIRS and (self.low > 0 or self.high < 0)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "mean": _or_none(self.mean),
            "low": _or_none(self.low),
            "high": _or_none(self.high),
            "n_pairs": self.n_pairs,
            "is_clear_of_zero": self.is_clear_of_zero,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Interval":
        """The Interval that `to_dict` described."""
        mean, low, high = (_or_nan(values[name]) for name in ("mean", "low", "high"))
        return cls(mean=mean, low=low, high=high, n_pairs=values["n_pairs"])


def paired_interval(
    a: Sequence[float] | Float64[np.ndarray, "utterances"],
    b: Sequence[float] | Float64[np.ndarray, "utterances"],
    *,
    n_resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """The mean of a - b over utterances with its 95 % bootstrap interval; NaN in either leaves a pair out.

    Percentiles of resampled means, moved outwards for few utterances so that the interval is as wide as
    Student's t would ask for (the "expanded percentile" of Hesterberg 2015,
    https://doi.org/10.1080/00031305.2015.1089789). The interval covers other utterances of the same
    voice; it does not cover another training run with another seed.
    """
    if len(a) != len(b):
        raise DataError(
            "scores cannot be paired",
            expected="as many of one as of the other",
            found=f"{len(a)} and {len(b)}",
        )
    differences = np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64)
    differences = differences[np.isfinite(differences)]
    n_pairs = len(differences)
    if n_pairs == 0:
        return Interval(mean=float("nan"), low=float("nan"), high=float("nan"), n_pairs=0)
    mean = float(differences.mean())
    if n_pairs == 1:
        return Interval(mean=mean, low=-float("inf"), high=float("inf"), n_pairs=1)
    means = _resampled_means(differences, n_resamples, seed)
    tail = _tail(n_pairs)
    low, high = np.quantile(means, [tail, 1 - tail])
    return Interval(mean=mean, low=float(low), high=float(high), n_pairs=n_pairs)


def _resampled_means(
    differences: Float64[np.ndarray, "pairs"], n_resamples: int, seed: int
) -> Float64[np.ndarray, "resamples"]:
    generator = np.random.default_rng(seed)
    means = []
    for start in range(0, n_resamples, SLICE):
        n = min(SLICE, n_resamples - start)
        picks = generator.integers(len(differences), size=(n, len(differences)))
        means.append(differences[picks].mean(axis=1))
    return np.concatenate(means)


def _tail(n_pairs: int) -> float:
    """The share to cut from each end: 2.5 % for many pairs, less for few."""
    steps = t.ppf((1 + CONFIDENCE) / 2, n_pairs - 1) * np.sqrt(n_pairs / (n_pairs - 1))
    return float(norm.cdf(-steps))


def _or_none(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value

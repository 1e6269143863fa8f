"""Scores: every measure of every system on every utterance of a test set, and differences with intervals.

Axes used in this file:
    systems     that are compared, in order
    utterances  of the test set, in order
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64

from retimbre.errors import DataError
from retimbre.evaluate.interval import Interval, paired_interval
from retimbre.evaluate.measures import Measure


@dataclass(frozen=True, kw_only=True)
class Scores:
    """One table per measure; NaN where a value is missing."""

    measures: tuple[Measure, ...]
    systems: tuple[str, ...]
    utterances: tuple[str, ...]
    values: Mapping[str, Float64[np.ndarray, "systems utterances"]]  # by the key of the measure

    def __post_init__(self) -> None:
        shape = (len(self.systems), len(self.utterances))
        for measure in self.measures:
            if measure.key not in self.values or self.values[measure.key].shape != shape:
                raise ValueError(f"values of '{measure.key}' are missing or not {shape}")

    def of(self, measure: Measure, system: str) -> Float64[np.ndarray, "utterances"]:
        """One value per utterance."""
        return np.asarray(self.values[measure.key][self._row(system)])

    def mean(self, measure: Measure, system: str) -> float:
        """Over the utterances that have a value; NaN if none has."""
        values = self.of(measure, system)
        values = values[np.isfinite(values)]
        return float(values.mean()) if len(values) else float("nan")

    def interval(self, measure: Measure, system: str, against: str, *, seed: int = 0) -> Interval:
        """The paired difference system - against."""
        return paired_interval(self.of(measure, system), self.of(measure, against), seed=seed)

    def _row(self, system: str) -> int:
        if system not in self.systems:
            raise DataError(
                f"there are no scores of the system '{system}'",
                expected=f"one of {', '.join(self.systems)}",
            )
        return self.systems.index(system)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; a missing value is null."""
        return {
            "measures": [measure.to_dict() for measure in self.measures],
            "systems": list(self.systems),
            "utterances": list(self.utterances),
            "values": {
                key: [[float(value) if np.isfinite(value) else None for value in row] for row in table]
                for key, table in self.values.items()
            },
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Scores":
        """The Scores that `to_dict` described."""
        shape = (len(values["systems"]), len(values["utterances"]))
        tables = {
            key: np.asarray(
                [[np.nan if value is None else value for value in row] for row in table], dtype=np.float64
            ).reshape(shape)
            for key, table in values["values"].items()
        }
        return cls(
            measures=tuple(Measure(**measure) for measure in values["measures"]),
            systems=tuple(values["systems"]),
            utterances=tuple(values["utterances"]),
            values=tables,
        )


def scores(
    measures: Sequence[Measure],
    systems: Sequence[str],
    found: Mapping[str, Mapping[str, Mapping[str, float]]],
) -> Scores:
    """A table from single results.

    Args:
        measures: Which to keep, in order.
        systems: Which systems, in order.
        found: {utterance: {system: {key of the measure: value}}}; what is not there becomes NaN.
    """
    tables = {
        measure.key: np.array(
            [
                [found[utterance].get(system, {}).get(measure.key, np.nan) for utterance in found]
                for system in systems
            ],
            dtype=np.float64,
        ).reshape(len(systems), len(found))
        for measure in measures
    }
    return Scores(measures=tuple(measures), systems=tuple(systems), utterances=tuple(found), values=tables)

"""Mean and spread of pitch and energy: what they are normalised with when they are loaded."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from retimbre.errors import DataError

EVERYVOICE_NAMES = {"n": "sample_size", "min": "min", "max": "max", "mean": "mean", "std": "std"}


@dataclass(frozen=True, kw_only=True)
class Stat:
    """How one quantity is distributed over all frames of a set of utterances.

    Args:
        std: Unbiased standard deviation.
        n: Utterances (not frames), as EveryVoice counts.
    """

    mean: float
    std: float
    min: float
    max: float
    n: int

    @property
    def norm_min(self) -> float:
        """The smallest value after normalising."""
        return (self.min - self.mean) / self._scale

    @property
    def norm_max(self) -> float:
        """The largest value after normalising."""
        return (self.max - self.mean) / self._scale

    def normalise(self, values: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """Mean 0 and standard deviation 1."""
        return (values - self.mean) / self._scale

    def denormalise(self, values: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """The raw values again."""
        return values * self._scale + self.mean

    @property
    def _scale(self) -> float:
        return self.std if self.std > 0 else 1.0  # all values are equal: nothing to scale

    def to_dict(self) -> dict[str, Any]:
        """One entry of EveryVoice's stats.json."""
        named = {theirs: getattr(self, ours) for ours, theirs in EVERYVOICE_NAMES.items()}
        return named | {"norm_min": self.norm_min, "norm_max": self.norm_max}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Stat":
        """Read one entry of EveryVoice's stats.json."""
        try:
            numbers = {ours: float(values[theirs]) for ours, theirs in EVERYVOICE_NAMES.items()}
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(
                "statistics of pitch or energy cannot be read",
                expected=f"the numbers {', '.join(EVERYVOICE_NAMES.values())}",
                found=f"{type(error).__name__}: {error}",
            ) from error
        if not all(map(math.isfinite, numbers.values())):
            raise DataError("statistics of pitch or energy are not finite", found=str(numbers))
        n = int(numbers.pop("n"))
        return cls(n=n, **numbers)


@dataclass(frozen=True, kw_only=True)
class Stats:
    """Statistics of the curves, and of the lengths of the texts where these are known."""

    pitch: Stat
    energy: Stat
    character_length: Stat | None = None
    phone_length: Stat | None = None

    def to_dict(self) -> dict[str, Any]:
        """EveryVoice's stats.json."""
        parts = {
            "energy": self.energy,
            "pitch": self.pitch,
            "character_length": self.character_length,
            "phone_length": self.phone_length,
        }
        return {name: stat.to_dict() for name, stat in parts.items() if stat}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Stats":
        """Read EveryVoice's stats.json, also where it has only pitch and energy."""
        if missing := [name for name in ("pitch", "energy") if not values.get(name)]:
            raise DataError(
                "statistics are incomplete", expected="pitch and energy", found=f"no {missing[0]}"
            )
        lengths = {
            name: Stat.from_dict(values[name]) if values.get(name) else None
            for name in ("character_length", "phone_length")
        }
        return cls(pitch=Stat.from_dict(values["pitch"]), energy=Stat.from_dict(values["energy"]), **lengths)


def measure(curves: Iterable[Float[Tensor, "frames"]]) -> Stat:
    """The distribution over all frames of all curves; one curve at a time is held in memory."""
    n_curves, n_values, mean, spread = 0, 0, 0.0, 0.0
    lowest, highest = math.inf, -math.inf
    for curve in curves:
        n_curves += 1
        if curve.numel() == 0:
            continue
        values = curve.double()
        # Chan's update of mean and sum of squares: exact also for a million frames around 200 Hz.
        n_new, mean_new = values.numel(), float(values.mean())
        step = mean_new - mean
        total = n_values + n_new
        spread += float(((values - mean_new) ** 2).sum()) + step**2 * n_values * n_new / total
        mean += step * n_new / total
        n_values = total
        lowest, highest = min(lowest, float(values.min())), max(highest, float(values.max()))
    if n_values == 0:
        raise DataError("nothing to measure", expected="at least one utterance with features", found="none")
    std = math.sqrt(spread / (n_values - 1)) if n_values > 1 else 0.0
    return Stat(mean=mean, std=std, min=lowest, max=highest, n=n_curves)


def measure_lengths(texts: Iterable[str]) -> Stat:
    """The distribution of the lengths of texts, in code points."""
    return measure(torch.tensor([float(len(text))]) for text in texts)

"""The parent's end of tortoise_child.py, and rounds in which all contestants of a stage take turns."""

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from machine_limits import CALM_SHARE, Others, wait_for_calm
from torch import Tensor
from tortoise_child import MARK

from retimbre.errors import RunError

LAST_LINES = 5
MOST_HELD = 2  # times as many rounds as are wanted, where others disturb


class Side:
    """A child that stays alive; it is asked one thing at a time."""

    def __init__(
        self, name: str, command: Sequence[Path], *, log: Path, environment: Mapping[str, str]
    ) -> None:
        self.name, self._log = name, log
        with log.open("w") as errors:
            self._child = subprocess.Popen(
                [*map(str, command)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env={**os.environ, **environment},
            )
        try:
            self.stages = [(stage, kind) for stage, kind in self.ask("stages")["stages"]]
        except RunError:
            self.close()
            raise

    def ask(self, what: str, **more: str) -> dict[str, Any]:
        """One answer.

        Raises:
            RunError: The child has ended.
        """
        lines, question = self._child.stdout, self._child.stdin
        with suppress(BrokenPipeError):  # it has ended; that is said below
            print(json.dumps({"do": what, **more}), file=question, flush=True)
        for line in lines or ():
            if line.startswith(MARK):
                told: dict[str, Any] = json.loads(line.removeprefix(MARK))
                return told
        last = "\n".join(self._log.read_text().splitlines()[-LAST_LINES:])
        raise RunError(f"the process of '{self.name}' ended", found=last or "no message")

    def close(self) -> None:
        """End it, whatever it is doing."""
        with suppress(BrokenPipeError), self._child:  # broken where it has ended before it was asked
            self._child.terminate()


@dataclass(frozen=True, kw_only=True)
class Contest:
    """A stage after its rounds.

    Args:
        n_rounds: So many were held.
        n_calm: In so many of them others hardly disturbed anyone. Only these count, where there are any.
        peak_bytes: Name of a side -> the most memory it had at once.
    """

    contestants: list["Contestant"]
    n_rounds: int
    n_calm: int
    peak_bytes: dict[str, int | None]

    def facts(self) -> dict[str, Any]:
        """For a file."""
        return {
            "kinds": [each.facts() for each in self.contestants],
            "rounds": self.n_rounds,
            "calm_rounds": self.n_calm,
            "peak_bytes": self.peak_bytes,
        }


@dataclass(frozen=True, kw_only=True)
class Round:
    """One run of one contestant, or the mean of some short ones: by the clock and by the processors.

    Args:
        others: The share of all processors that others took; None where the system does not say.
    """

    seconds: float
    cpu_seconds: float
    others: float | None = None

    @property
    def is_calm(self) -> bool:
        """Did others take hardly anything, as far as is known?"""
        return (self.others or 0.0) <= CALM_SHARE


@dataclass(kw_only=True)
class Contestant:
    """One kind of a stage on one side, and what was found."""

    side: Side
    kind: str
    result: Tensor | None = None
    failure: str = ""
    first_seconds: float = 0.0
    rounds: list[Round] = field(default_factory=list)

    @property
    def name(self) -> str:
        """As tables have it."""
        return f"{self.side.name} {self.kind}"

    @property
    def seconds(self) -> list[float]:
        """By the clock."""
        return [each.seconds for each in self.rounds]

    @property
    def cpu_seconds(self) -> list[float]:
        """Of all processors."""
        return [each.cpu_seconds for each in self.rounds]

    @property
    def others(self) -> list[float]:
        """What others took, where that is known."""
        return [each.others for each in self.rounds if each.others is not None]

    def run(self, stage: str) -> None:
        """One more round."""
        others = Others()
        told = self.side.ask("run", stage=stage, kind=self.kind)
        if self.has_failed(told):
            self.rounds = []
            return
        seconds, cpu_seconds = told["seconds"], told["cpu_seconds"]
        share = others.share(cpu_seconds * told["repeats"])
        self.rounds.append(Round(seconds=seconds, cpu_seconds=cpu_seconds, others=share))

    def has_failed(self, told: Mapping[str, Any]) -> bool:
        """Does an answer say so? It is kept."""
        self.failure = self.failure or told.get("error", "")
        return bool(self.failure)

    def times_faster_than(self, other: "Contestant") -> list[float]:
        """Round by round, which both have the same: what slowed a whole one down does not count."""
        return [theirs / ours for theirs, ours in zip(other.seconds, self.seconds, strict=True)]

    def facts(self) -> dict[str, Any]:
        """For a file."""
        return {
            "side": self.side.name,
            "kind": self.kind,
            "failure": self.failure,
            "first_s": self.first_seconds,
            "rounds_s": self.seconds,
            "rounds_cpu_s": self.cpu_seconds,
            "share_of_others": self.others,
        }


def contest(stage: str, sides: Sequence[Side], *, n_rounds: int, patience_s: float) -> Contest:
    """All kinds of a stage on all sides, each run once and then in turns: A B C, A B C, …

    Args:
        n_rounds: Calm ones; where others disturb, at most twice as many are held.
        patience_s: So long others are waited for before each run.
    """
    everyone = [
        Contestant(side=side, kind=kind) for side in sides for name, kind in side.stages if name == stage
    ]
    for each in everyone:
        told = each.side.ask("prepare", stage=stage, kind=each.kind)
        if not each.has_failed(told):
            each.result = torch.load(told["result"], weights_only=True)
            each.first_seconds = told["seconds"]
    held = 0
    while held < MOST_HELD * n_rounds and len(_calm(everyone)) < n_rounds:
        held += 1
        for each in everyone:
            if not each.failure:
                wait_for_calm(patience_s)
                each.run(stage)
    calm = _calm(everyone)
    for each in everyone:
        each.rounds = [each.rounds[number] for number in calm] if calm and not each.failure else each.rounds
    peaks = {side.name: side.ask("release").get("peak_bytes") for side in sides}
    return Contest(contestants=everyone, n_rounds=held, n_calm=len(calm), peak_bytes=peaks)


def _calm(everyone: Sequence[Contestant]) -> list[int]:
    """The rounds in which nobody was disturbed."""
    rounds = zip(*(each.rounds for each in everyone if not each.failure), strict=True)
    return [number for number, runs in enumerate(rounds) if all(run.is_calm for run in runs)]

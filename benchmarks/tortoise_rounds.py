"""The parent's end of tortoise_child.py, and rounds in which all contestants of a stage take turns."""

import json
import os
import statistics
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from machine_limits import Others, wait_for_calm
from torch import Tensor
from tortoise_child import MARK

from retimbre.errors import RunError

LAST_LINES = 5


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
        peak_bytes: Name of a side -> the most memory it had at once.
    """

    contestants: list["Contestant"]
    peak_bytes: dict[str, int | None]

    def facts(self) -> dict[str, Any]:
        """For a file."""
        return {"kinds": [each.facts() for each in self.contestants], "peak_bytes": self.peak_bytes}


@dataclass(kw_only=True)
class Contestant:
    """One kind of a stage on one side, and what was found."""

    side: Side
    kind: str
    result: Tensor | None = None
    failure: str = ""
    first_seconds: float = 0.0
    seconds: list[float] = field(default_factory=list)
    cpu_seconds: list[float] = field(default_factory=list)
    others: list[float] = field(default_factory=list)

    @property
    def name(self) -> str:
        """As tables have it."""
        return f"{self.side.name} {self.kind}"

    @property
    def median(self) -> float:
        """Of all rounds; of the first run where there were none."""
        return statistics.median(self.seconds or [self.first_seconds])

    def times_faster_than(self, other: "Contestant") -> list[float]:
        """Round by round, so that what slowed a whole round down does not count."""
        return [theirs / ours for theirs, ours in zip(other.seconds, self.seconds, strict=False)]

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
    """All kinds of a stage on all sides, each run once and then in turns: A B C, A B C, …"""
    all_of_it = [
        Contestant(side=side, kind=kind) for side in sides for name, kind in side.stages if name == stage
    ]
    for each in all_of_it:
        told = each.side.ask("prepare", stage=stage, kind=each.kind)
        if _has_failed(each, told):
            continue
        each.result = torch.load(told["result"], weights_only=True)
        each.first_seconds = told["seconds"]
    for _ in range(n_rounds):
        for each in all_of_it:
            if each.failure:
                continue
            wait_for_calm(patience_s)
            others = Others()
            told = each.side.ask("run", stage=stage, kind=each.kind)
            if not _has_failed(each, told):
                each.seconds.append(told["seconds"])
                each.cpu_seconds.append(told["cpu_seconds"])
                share = others.share(told["cpu_seconds"] * told["repeats"])
                each.others += [] if share is None else [share]
    peaks = {side.name: side.ask("release").get("peak_bytes") for side in sides}
    return Contest(contestants=all_of_it, peak_bytes=peaks)


def _has_failed(contestant: Contestant, told: Mapping[str, Any]) -> bool:
    contestant.failure = contestant.failure or told.get("error", "")
    return bool(contestant.failure)

"""One side of bench_tortoise.py: a process that prepares stages and runs them when it is asked.

It is asked in lines of JSON over its standard input, and answers each with one line:

    {"do": "stages"}                            -> {"stages": [["decode-1", "float32"], …]}
    {"do": "prepare", "stage": …, "kind": …}    -> {"result": PATH, "seconds": of the first run}
    {"do": "run", "stage": …, "kind": …}        -> {"seconds": …, "cpu_seconds": …, "repeats": …}
    {"do": "release"}                           -> {"peak_bytes": of memory since the last release}

A stage that raises is answered by {"error": …}. Answers have a mark before them, as packages may print while
they are imported. Only Python and torch are needed here, since TorToiSe's side
runs in an environment of its own.
"""

import ctypes
import gc
import json
import math
import os
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

Run = Callable[[], Tensor]  # one run of a stage: what it gives
MARK = "answer: "


@dataclass(frozen=True, kw_only=True)
class Task:
    """What both sides are told.

    Args:
        folder: With the files.
        inputs: Name -> tensor.
        kwargs: Name of a file -> arguments with which TorToiSe builds its network.
        n_codes: How many are decoded.
        batch: In how many candidates at once.
        n_steps: Of the diffusion, in the sentence.
        least_seconds: Shorter runs are repeated: the clock of other processes' work is coarse.
        results: A folder for what stages give.
    """

    folder: Path
    inputs: Mapping[str, Tensor]
    kwargs: Mapping[str, Mapping[str, Any]]
    n_codes: int
    batch: int
    n_steps: int
    least_seconds: float
    results: Path

    @classmethod
    def read(cls, path: Path) -> "Task":
        """As the parent has written it."""
        told = json.loads(path.read_text())
        folder, results = Path(told.pop("folder")), Path(told.pop("results"))
        inputs = torch.load(told.pop("inputs"), weights_only=True)
        return cls(folder=folder, results=results, inputs=inputs, **told)


class Kept:
    """Networks that several kinds of a stage share; forgotten with the stage."""

    def __init__(self) -> None:
        self._made: dict[str, Any] = {}

    def get(self, name: str, make: Callable[[], Any]) -> Any:  # noqa: ANN401 - any network
        """What `make` gave the first time."""
        if name not in self._made:
            self._made[name] = make()
        return self._made[name]

    def clear(self) -> None:
        """Give the memory back, to the system, too, where it can be told to take it."""
        self._made.clear()
        gc.collect()
        with suppress(OSError, AttributeError):  # another system, or another C library
            ctypes.CDLL("libc.so.6").malloc_trim(0)


def serve(side: str, stages: Mapping[tuple[str, str], Callable[[], Run]], task: Task, kept: Kept) -> None:
    """Answer until there are no more questions.

    Args:
        stages: (stage, kind) -> what prepares it.
    """
    questions, answers = sys.stdin, os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever else is printed is no answer
    torch.set_grad_enabled(False)
    ready: dict[tuple[str, str], tuple[Run, int]] = {}

    def prepare(stage: str, kind: str) -> dict[str, Any]:
        run = stages[stage, kind]()
        result, seconds, _ = _timed(run, 1)
        path = task.results / f"{side}-{stage}-{kind}.pt"
        torch.save(result, path)
        _, seconds, _ = _timed(run, 1) if seconds < task.least_seconds else (result, seconds, 0.0)
        ready[stage, kind] = run, max(1, math.ceil(task.least_seconds / max(seconds, 1e-6)))
        return {"result": str(path), "seconds": seconds}

    def once(stage: str, kind: str) -> dict[str, Any]:
        run, repeats = ready[stage, kind]
        _, seconds, cpu_seconds = _timed(run, repeats)
        return {"seconds": seconds, "cpu_seconds": cpu_seconds, "repeats": repeats}

    def release() -> dict[str, Any]:
        peak = _peak_bytes()
        ready.clear()
        kept.clear()
        _forget_peak()
        return {"peak_bytes": peak}

    known: dict[str, Callable[..., dict[str, Any]]] = {
        "stages": lambda: {"stages": list(stages)},
        "prepare": prepare,
        "run": once,
        "release": release,
    }
    for line in questions:
        asked = json.loads(line)
        try:
            answer = known[asked.pop("do")](**asked)
        except Exception as error:  # noqa: BLE001 - the parent says it, and goes on with other stages
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(f"{MARK}{json.dumps(answer)}", file=answers, flush=True)


def _peak_bytes() -> int | None:
    """The most memory at once, parts of files that are mapped included; None: the system does not say."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    kilobytes = next((line.split()[1] for line in lines if line.startswith("VmHWM")), None)
    return None if kilobytes is None else int(kilobytes) * 1024


def _forget_peak() -> None:
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _timed(run: Run, repeats: int) -> tuple[Tensor, float, float]:
    """What the last run gave, and the mean of the seconds by the clock and by the processors."""
    began, cpu_began = time.perf_counter(), time.process_time()
    for _ in range(repeats):
        result = run()
    cpu_seconds, seconds = time.process_time() - cpu_began, time.perf_counter() - began
    return result, seconds / repeats, cpu_seconds / repeats

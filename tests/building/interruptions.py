"""Moments at which a run is interrupted, drawn from a seed, and how."""

import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

SAVED = 130  # exit code of a run that saved and left
KINDS = ("SIGKILL", "SIGINT", "SIGTERM", "SIGKILL before a use of a file")
MOST_OPERATIONS = 25  # a run that goes on uses its files so often at least


@dataclass(frozen=True, kw_only=True)
class Interruption:
    """One of them.

    Args:
        kind: One of `KINDS`.
        step: Once it has been logged, the signal comes, …
        pause_steps: … so many steps later.
        operation: The use of a file before which a run is killed.
    """

    kind: str
    step: int
    pause_steps: float
    operation: int

    def happen(
        self, begin: Callable[..., int], end: Callable[[], int], wait: Callable[[int], None], step_s: float
    ) -> None:
        """Begin a process, interrupt it, and look at how it ended.

        Args:
            begin: Starts the process (which waits at its end for somebody to interrupt it); its id.
            end: Waits for it; its exit status.
            wait: For a step to be logged.
            step_s: How long a step takes.
        """
        if self.kind == KINDS[3]:
            begin(kill_before_file_operation=self.operation)
            assert end() == -signal.SIGKILL, self
            return
        process = begin()
        wait(self.step)
        time.sleep(self.pause_steps * step_s)
        number = getattr(signal, self.kind)
        os.kill(process, number)
        allowed = {-signal.SIGKILL} if self.kind == "SIGKILL" else {SAVED, -signal.SIGTERM}
        assert end() in allowed, self


def interruptions(seed: int, *, n: int, n_steps: int) -> list[Interruption]:
    """So many of them, one after another in a run of so many steps; no two neighbours are of one kind."""
    draw = random.Random(seed)
    kinds = draw.sample(KINDS, len(KINDS))
    width = max(1, (n_steps - 1) // n)
    return [
        Interruption(
            kind=kinds[number % len(KINDS)],
            step=min(n_steps - 1, number * width + draw.randint(1, width)),
            pause_steps=draw.uniform(0, 2),
            operation=draw.randint(1, MOST_OPERATIONS),
        )
        for number in range(n)
    ]

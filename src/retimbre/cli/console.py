"""What a person sees while a command works: facts in two columns and one moving line. All of it on stderr."""

import sys
import time
from typing import TextIO

QUIET_S = 15.0  # where no line can move, progress is written this often


class Console:
    """A Listener that writes for people; a log file gets plain lines instead of a moving one."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stderr
        self.is_live = self.stream.isatty()
        self._began: dict[str, tuple[float, int]] = {}
        self._written = 0.0
        self._width = 0

    def say(self, label: str, text: str) -> None:
        """One fact: a short label and one line."""
        self._clear()
        self.stream.write(f"{label:<13} {text}\n")
        self.stream.flush()

    def progress(self, task: str, done: int, total: int, note: str = "") -> None:
        """How far `task` is, and how long it still takes at the pace so far."""
        now = time.monotonic()
        began, first = self._began.setdefault(task, (now, done))
        is_done = done >= total
        pace = (now - began) / (done - first) if done > first else 0.0
        if is_done:
            rest = f"in {_duration(now - began)}"
            del self._began[task]
        else:
            rest = f"{_duration(pace * (total - done))} left" if pace else ""
        line = f"{task:<13} {_bar(done, total)} {done:,} / {total:,}  " + "   ".join(
            filter(None, (note, rest))
        )
        if self.is_live:
            self._move(line, is_done)
        elif is_done or now - self._written > QUIET_S:
            self._written = now
            self.stream.write(line + "\n")
            self.stream.flush()

    def _move(self, line: str, is_done: bool) -> None:
        self._clear()
        self.stream.write(line + ("\n" if is_done else ""))
        self._width = 0 if is_done else len(line)
        self.stream.flush()

    def _clear(self) -> None:
        if self._width:
            self.stream.write("\r" + " " * self._width + "\r")
            self._width = 0


def _bar(done: int, total: int, width: int = 24) -> str:
    filled = width * done // max(total, 1)
    return "━" * filled + "─" * (width - filled)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"

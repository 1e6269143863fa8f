"""Listener: how long work tells what it is doing. The library never prints; whoever calls it listens."""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

Watch = Callable[[int, int], None]  # after so much, of so much; may raise to give up


@runtime_checkable
class Listener(Protocol):
    """Hears facts as they are found and progress as it is made."""

    def say(self, label: str, text: str) -> None:
        """One fact: a short label and one line."""

    def progress(self, task: str, done: int, total: int, note: str = "") -> None:
        """How far `task` is; `done == total` ends it."""


class Silent:
    """Hears nothing: the default of every function that takes a listener."""

    def say(self, label: str, text: str) -> None:
        """Nothing."""

    def progress(self, task: str, done: int, total: int, note: str = "") -> None:
        """Nothing."""

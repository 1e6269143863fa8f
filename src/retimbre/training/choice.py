"""Choice: a setting that was not left to guessing."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Something that was decided, and why."""

    choice: str
    value: str
    reason: str

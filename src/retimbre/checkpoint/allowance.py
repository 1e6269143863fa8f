"""How much work a file may be: a page of bytes can stand for billions of values."""

from collections.abc import Sized

from retimbre.errors import CheckpointError

CHARACTERS_PER_STEP = 32


class Allowance:
    """A number of steps, each about a microsecond and a hundred bytes; who spends more is refused."""

    def __init__(self, n_steps: int) -> None:
        self._n_steps = n_steps
        self._left = n_steps

    def spend(self, n_steps: int) -> None:
        """Raise CheckpointError when nothing is left."""
        self._left -= n_steps
        if self._left < 0:
            raise CheckpointError(
                "the values in the file are without end",
                expected=f"at most {self._n_steps:,} of them",
                found="lists in lists, or one value that stands for many",
            )

    def spend_on(self, value: object) -> None:
        """The price of a copy of a text or of a collection, without what its members hold."""
        if isinstance(value, str | bytes | bytearray):
            self.spend(len(value) // CHARACTERS_PER_STEP)
        elif isinstance(value, Sized):
            self.spend(len(value))

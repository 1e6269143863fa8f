"""Every exception we raise on purpose.

RetimbreError
├── AudioError        a recording cannot be used
├── TextError         a text cannot be turned into symbols
├── DataError         a list, a folder or a set of features is unusable or contradicts itself
├── RecipeError       a recipe or an override is wrong
├── CheckpointError   a file with weights cannot be used
│   ├── UnsafeCheckpoint   it tries to run code
│   └── UnknownFamily      no family, or several, explain its tensors
├── FetchError        a released file cannot be fetched
├── StagesDoNotFit    two neighbouring stages disagree, for instance on their spectrogram
├── RunError          a run folder cannot be started, resumed or finished
│   └── NoRoom             too little space on the disk
└── MissingExtra      an optional package is not installed
"""

from pathlib import Path


class RetimbreError(Exception):
    """What failed, what was expected, what was found and what to do: one line for the user.

    Args:
        what: The failure, naming things as the user typed them.
        expected: What would have been right.
        found: What was there instead.
        do: A command to run or a line to paste.
    """

    def __init__(
        self, what: str, *, expected: str | None = None, found: str | None = None, do: str | None = None
    ) -> None:
        self.what, self.expected, self.found, self.do = what, expected, found, do
        facts = [f"expected {expected}"] if expected else []
        facts += [f"found {found}"] if found else []
        line = what + (": " + ", ".join(facts) if facts else "")
        super().__init__(line + (f". {do[0].upper()}{do[1:]}" if do else ""))

    def __reduce__(self) -> tuple[object, ...]:
        # Keyword arguments must survive the way back from a worker process.
        return (_rebuild, (type(self), self.what, self.expected, self.found, self.do))


def _rebuild(
    kind: type[RetimbreError], what: str, expected: str | None, found: str | None, do: str | None
) -> RetimbreError:
    error = kind.__new__(kind)
    RetimbreError.__init__(error, what, expected=expected, found=found, do=do)
    return error


class AudioError(RetimbreError):
    """A recording cannot be used."""


class TextError(RetimbreError):
    """A text cannot be turned into symbols."""


class DataError(RetimbreError):
    """A list, a folder or a set of features is unusable or contradicts itself."""


class RecipeError(RetimbreError):
    """A recipe or an override is wrong."""


class CheckpointError(RetimbreError):
    """A file with weights cannot be used."""

    def of(self, path: Path) -> "CheckpointError":
        """The same error about a file, which it was found in without knowing which one."""
        return type(self)(f"{path}: {self.what}", expected=self.expected, found=self.found, do=self.do)


class UnsafeCheckpoint(CheckpointError):
    """A file with weights tries to run code."""


class UnknownFamily(CheckpointError):
    """No family, or several, explain the tensors of a file."""


class FetchError(RetimbreError):
    """A released file cannot be fetched, or is not the one that it should be."""


class StagesDoNotFit(RetimbreError):
    """Two neighbouring stages disagree, for instance on their spectrogram."""


class RunError(RetimbreError):
    """A run folder cannot be started, resumed or finished."""


class NoRoom(RunError):
    """Too little space on the disk."""


class MissingExtra(RetimbreError):
    """An optional package is not installed."""

    def __init__(self, feature: str, *, extra: str = "", command: str = "") -> None:
        command = command or f"pip install 'retimbre[{extra}]'"
        super().__init__(f"{feature} needs a package that is not installed", do=f"install it: {command}")

"""Utterance: one recording with its transcript."""

from dataclasses import dataclass, field
from pathlib import PurePosixPath

from retimbre.errors import DataError

FORBIDDEN = "\\" + "".join(map(chr, range(32)))  # a backslash is a path separator on Windows


@dataclass(frozen=True, kw_only=True)
class Utterance:
    """One line of a list: which recording, what is said in it, by whom.

    Args:
        basename: Name of the recording without its ending; may name sub-folders with `/`.
        text: What is said, as written; empty if only phones are known.
        phones: The same as phones, if they are known.
        label: Of the data set that it is from, for text rules of its own. It tells no two utterances apart.
    """

    basename: str
    text: str
    phones: str | None = None
    speaker: str = "default"
    language: str = "default"
    label: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        for word, name in (
            ("basename", self.basename),
            ("speaker", self.speaker),
            ("language", self.language),
        ):
            if found := _why_unsafe(name, may_have_folders=word == "basename"):
                raise DataError(
                    f"the {word} '{name}' cannot be used in file names",
                    expected="a name that stays inside its folder",
                    found=found,
                    do="rename it in the list (and the recording with it)",
                )

    @property
    def stem(self) -> str:
        """How the files of this utterance begin, in EveryVoice's order."""
        return f"{self.basename}--{self.speaker}--{self.language}"


def _why_unsafe(name: str, *, may_have_folders: bool) -> str | None:
    if not name.strip():
        return "nothing"
    if bad := [sign for sign in FORBIDDEN if sign in name]:
        return f"the sign {bad[0]!r}"
    if "/" in name and not may_have_folders:
        return "the sign '/'"
    if PurePosixPath(name).is_absolute():
        return "a path from the root"
    if any(part in ("", ".", "..") for part in name.split("/")):
        return "a way out of the folder" if ".." in name.split("/") else "an empty folder name"
    return None

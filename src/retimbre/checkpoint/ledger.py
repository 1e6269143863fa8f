"""What becomes of every tensor of a file on its way into one of our networks: nothing is lost silently.

A ledger begins with the tensors under the names in the file. A family renames, drops, sets aside and replaces
until the rest has our names; each step gives its reason. It works on shapes alone (tensors on the `meta`
device) as well as on weights.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from retimbre.checkpoint.spelling import spelled
from retimbre.errors import CheckpointError

Fate = Literal["matched", "renamed", "resized", "new", "aside", "dropped"]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What became of one tensor.

    Args:
        name: In the file; for a new tensor, ours.
        fate: `matched` under its own name; `renamed`, also where values were converted without loss of
            meaning; `resized`; `new`, which the file does not hold; `aside`, kept for another part such as
            discriminators; `dropped`.
        ours: The name that it has now, or None.
        why: The reason for everything but `matched`.
    """

    name: str
    fate: Fate
    ours: str | None = None
    why: str = ""


class Ledger:
    """Tensors on their way from a file's names to ours."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self.tensors: dict[str, Tensor] = dict(tensors)
        self.aside: dict[str, Tensor] = {}
        self._aside_sources: dict[str, tuple[str, ...]] = {}
        self._sources: dict[str, tuple[str, ...]] = {name: (name,) for name in self.tensors}
        self._gone: dict[str, Entry] = {}
        self._why: dict[str, list[str]] = {}  # by the name in the file
        self._resized: set[str] = set()
        self._new: dict[str, str] = {}

    def __contains__(self, name: str) -> bool:
        return name in self.tensors

    def names(self, pattern: str) -> list[str]:
        """Present names that `pattern` (a regular expression) matches in full."""
        return [name for name in self.tensors if re.fullmatch(pattern, name)]

    def rename(self, old: str, new: str, why: str) -> None:
        """Give one tensor another name."""
        self.replace((old,), {new: self.tensors[old]}, why)

    def rename_all(self, new_name: Callable[[str], str], why: str) -> None:
        """Give every tensor the name that `new_name` makes of its own, where that differs."""
        for old in list(self.tensors):
            if (new := new_name(old)) != old:
                self.rename(old, new, why)

    def strip(self, prefix: str, why: str) -> bool:
        """Take a prefix off, if all names have it; say whether they had."""
        if not self.tensors or not all(name.startswith(prefix) for name in self.tensors):
            return False
        self.rename_all(lambda name: name.removeprefix(prefix), why)
        return True

    def drop(self, pattern: str, why: str) -> None:
        """Leave out what `pattern` (a regular expression) matches in full."""
        for name in self.names(pattern):
            self._leave(name, "dropped", why)

    def set_aside(self, pattern: str, why: str) -> None:
        """Keep apart what belongs to another part, such as discriminators."""
        for name in self.names(pattern):
            self.aside[name], self._aside_sources[name] = self.tensors[name], self._sources[name]
            self._leave(name, "aside", why)

    def replace(
        self, names: Iterable[str], by: Mapping[str, Tensor], why: str, *, resized: bool = False
    ) -> None:
        """Put other tensors, made of `names`, in their place: one for several, or several for one."""
        sources = tuple(source for name in names for source in self._sources[name])
        for name in list(names):
            del self.tensors[name], self._sources[name]
        for new, tensor in by.items():
            if new in self.tensors:
                raise CheckpointError(
                    f"two tensors of the file stand for '{new}'",
                    found=", ".join((*sources, *self._sources[new])),
                    do="ask for a file without the doubled one",
                )
            self.tensors[new], self._sources[new] = tensor, sources
        for source in sources:
            self._why.setdefault(source, []).append(why)
        if resized:
            self._resized.update(sources)

    def add(self, name: str, tensor: Tensor, why: str) -> None:
        """Put in a tensor that the file does not hold."""
        self.tensors[name], self._sources[name] = tensor, ()
        self._new[name] = why

    def source(self, ours: str) -> str:
        """The name in the file of what we call `ours`; where it is missing, spelled like others there."""
        if sources := self._sources.get(ours):
            return ", ".join(sources)
        if ours in self._why or ours in self._gone:
            return ours  # it is the file's own name
        names = {name: sources[0] for name, sources in self._sources.items() if len(sources) == 1}
        return spelled(ours, names)

    def only_aside(self) -> "Ledger":
        """Another ledger, of what was set aside."""
        other = Ledger(self.aside)
        other._sources = {name: self._aside_sources[name] for name in self.aside}
        return other

    def entries(self) -> tuple[Entry, ...]:
        """One for each tensor of the file, then the new ones."""
        kept: dict[str, Entry] = {}
        for ours, sources in self._sources.items():
            for name in sources:
                kept.setdefault(name, self._entry(name, ours))
        new = [Entry(name=name, fate="new", ours=name, why=why) for name, why in self._new.items()]
        return (*kept.values(), *self._gone.values(), *new)

    def dropped(self) -> dict[str, str]:
        """Name in the file -> why it is left out."""
        return {entry.name: entry.why for entry in self._gone.values() if entry.fate == "dropped"}

    def _leave(self, name: str, fate: Fate, why: str) -> None:
        del self.tensors[name]
        for source in self._sources.pop(name):
            self._gone[source] = Entry(name=source, fate=fate, why=why)

    def _entry(self, name: str, ours: str) -> Entry:
        reasons = self._why.get(name, [])
        fate: Fate = "resized" if name in self._resized else "renamed" if reasons else "matched"
        return Entry(name=name, fate=fate, ours=ours, why="; ".join(reasons))

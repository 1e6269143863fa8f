"""Is a match that goes on the one that was begun? Its files, its lists and its split are compared."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retimbre.checkpoint.digest import sha256_of
from retimbre.errors import RunError
from retimbre.recipe.read import read_recipe
from retimbre.recipe.recipe import MAY_BE_MISSING, Recipe
from retimbre.training.lineage import lists_of
from retimbre.training.listed import has_given_split
from retimbre.training.run import stored_recipe

MATCHED_TO = "matched_to"  # in lineage.json: SHA-256 of the checkpoint that is matched to
PLACES: Any = {  # of a project, which may have been moved
    **dict.fromkeys(("recordings", "filelist", "preprocessed", *MAY_BE_MISSING), True),
    "more": {"__all__": {"recordings", "filelist"}},
}


@dataclass(frozen=True, kw_only=True)
class FileThen:
    """A file that a match was begun with.

    Args:
        what: It is, for people.
        sha256: That it had; None where none was used.
        now: What is given now; None, or missing, where it cannot be compared.
    """

    what: str
    sha256: str | None
    now: Path | None

    @property
    def has_changed(self) -> bool:
        """Is another one given now?"""
        return self.now is not None and self.now.is_file() and sha256_of(self.now) != self.sha256


@dataclass(frozen=True, kw_only=True)
class Begun:
    """A match that came as far as training."""

    lineage: Mapping[str, Any]
    recipe: Recipe

    def changed(self, asked: Recipe, files: Sequence[FileThen]) -> list[str]:
        """What is another now: of files, lists and the choice of what is held out."""
        found = [file.what for file in files if file.has_changed]
        lists = lists_of(asked.data)
        read = ("other_lists",) if has_given_split(asked.data) else ("sha256", "other_lists")
        if any(self.lineage["data"].get(name) != lists.get(name) for name in read):
            found.append("list of recordings")
        data = self.recipe.data.model_dump(exclude=PLACES)
        given = asked.data.model_dump(exclude=PLACES)
        return found + [f"data.{name}" for name, value in given.items() if value != data[name]]


def begun_in(folder: Path) -> Begun | None:
    """What stands in a run folder; None if it never came to training."""
    path = folder / "lineage.json"
    if not path.is_file():
        return None
    lineage = json.loads(path.read_text(encoding="utf-8"))
    return Begun(lineage=lineage, recipe=read_recipe(stored_recipe(folder)))


def refuse_changed(folder: Path, changed: Sequence[str]) -> None:
    """Raise RunError if anything is another than it was."""
    if changed:
        raise RunError(
            f"the match in {folder} was begun with something else",
            found=f"another {', '.join(changed)}",
            do="--resume goes on with the same match; name a new one (-c name=…) for another",
        )

"""Where a checkpoint comes from: what it was tuned from and on, by hash, and who answers for it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from retimbre import __version__
from retimbre.checkpoint.digest import sha256_of
from retimbre.recipe.recipe import Data, Recipe


@runtime_checkable
class Learnt(Protocol):
    """What is learnt from."""

    @property
    def training(self) -> Sequence[Any]:
        """Utterances."""

    @property
    def duration_s(self) -> float:
        """How long they sound together."""


def lineage(
    recipe: Recipe, material: Learnt, before: Mapping[str, Any], *, added: Sequence[str] = ()
) -> dict[str, Any]:
    """Plain values for the description. No paths: names and hashes.

    Args:
        before: The lineage of the base.
        added: A sentence for each symbol, speaker and language that the base lacked.
    """
    return {
        "retimbre": __version__,
        "stage": recipe.stage,
        "contact": recipe.contact,
        **({"consent": recipe.consent} if recipe.consent else {}),
        "base": _base(recipe.base, before) if recipe.base else None,
        **({"added": list(added)} if added else {}),
        "data": {
            **lists_of(recipe.data),
            "utterances": len(material.training),
            "minutes": round(material.duration_s / 60, 2),
        },
        "spec_source": recipe.training.spec_source if recipe.stage == "spec-to-wav" else "real",
        "seed": recipe.training.seed,
    }


def lists_of(data: Data) -> dict[str, Any]:
    """Every list that is read, by name and hash."""
    others = _other_lists(data)
    first = {"list": data.filelist.name, "sha256": _digest(data.filelist)}
    return first | ({"other_lists": others} if others else {})


def _other_lists(data: Data) -> list[dict[str, Any]]:
    """Those of further data sets, and those of a given split."""
    given = (*(one.filelist for one in data.more), data.training_filelist, data.validation_filelist)
    return [{"list": path.name, "sha256": _digest(path)} for path in given if path is not None]


def _digest(path: Path) -> str | None:
    """None where a list is not there, because those of the split are all that is read."""
    return sha256_of(path) if path.is_file() else None


def _base(path: Path, before: Mapping[str, Any]) -> dict[str, Any]:
    facts: dict[str, Any] = {"file": path.name, "sha256": sha256_of(path)}
    return facts | ({"lineage": dict(before)} if before else {})

"""A DL-Art-School YAML as values that remember their lines, and what became of each of them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from retimbre.errors import RecipeError
from retimbre.recipe.files import read_values
from retimbre.recipe.mistakes import SHOWN, is_overridden, line_of
from retimbre.recipe.overrides import apply_override, split_override
from retimbre.recipe.recipe import Recipe

Kind = Literal["honoured", "changed", "the same here", "ignored"]
TO_FILL = "CHANGEME"
OWN_WORDS = frozenset(Recipe.model_fields) - {"name"}  # first words of keys that only our recipes have
PATHS = {
    *("path", "gpt_path", "dvae_config", "tokenizer_vocab", "resume_state", "recordings", "filelist"),
    *("base", "runs", "preprocessed", "training_filelist", "validation_filelist"),
    *("models", "dvae", "text_to_codes", "codes_to_spec", "tokenizer"),
}


@dataclass(frozen=True)
class Fate:
    """What became of a value: its sentence goes on after the key."""

    kind: Kind
    text: str = ""


@dataclass(kw_only=True)
class DlasFile:
    """One file, with what the command line says on top.

    Args:
        overridden: Keys of DL-Art-School's whose values come from the command line.
        own_overrides: What was given there in a recipe's own words.
        fates: Key -> what became of it.
    """

    path: Path
    values: dict[str, Any]
    text: str
    overridden: tuple[str, ...] = ()
    own_overrides: tuple[str, ...] = ()
    fates: dict[str, Fate] = field(default_factory=dict)

    def get(self, key: str, default: Any = None) -> Any:  # noqa: ANN401 - a file may hold anything
        """The value of a dotted key; `default` where there is none, or an empty one."""
        inside: Any = self.values
        for name in key.split("."):
            inside = inside.get(name) if isinstance(inside, Mapping) else None
        return default if inside is None else inside

    def section(self, key: str) -> Mapping[str, Any]:
        """The section of a dotted key; empty where there is none."""
        found = self.get(key)
        return found if isinstance(found, Mapping) else {}

    def leaves(self) -> dict[str, Any]:
        """Dotted key -> value, of everything that is no section; a list is one value."""
        return dict(_leaves(self.values, ""))

    def line(self, key: str) -> int | None:
        """Where a key stands in the file; None if the command line gives its value."""
        return None if is_overridden(key, self.overridden) else line_of(key.split("."), self.text)

    def where(self, key: str) -> str:
        """File and line of a key, or the command line."""
        if is_overridden(key, self.overridden):
            return f"'-c {key}'"
        line = self.line(key)
        return f"{self.path}{f', line {line}' if line else ''}"

    def tell(self, kind: Kind, key: str, text: str = "") -> None:
        """Say what became of a value."""
        self.fates[key] = Fate(kind, text)

    def wrong(self, key: str, *, expected: str, do: str | None = None) -> RecipeError:
        """The error about a value that cannot be had."""
        found = repr(self.get(key))[:SHOWN]
        return RecipeError(f"{self.where(key)}: '{key}' is wrong", expected=expected, found=found, do=do)

    def filled(self, key: str, what: str) -> str:
        """A text that whoever uses the file must have written.

        Raises:
            RecipeError: if it is still to be filled in, or missing.
        """
        value = self.get(key)
        if isinstance(value, str) and value and TO_FILL not in value:
            return value
        last = key.rpartition(".")[2]
        raise RecipeError(
            f"{self.where(key)}: '{key}' is still to be filled in" if value else f"{self.path}: no '{key}'",
            expected=what,
            found=repr(value)[:SHOWN] if value else None,
            do=f"write '{last}: …' there, or give -c {key}=…",
        )

    def placed(self, value: str) -> Path:
        """A path of the file: DL-Art-School sees it from its folder `codes`, beside that of its YAMLs."""
        path, folder = Path(value).expanduser(), self.path.parent.resolve()
        seen_from = (folder, folder.parent / "codes")
        return next((place / path for place in seen_from if (place / path).exists()), folder / path).resolve()


def read_dlas(path: Path, overrides: Sequence[str]) -> DlasFile:
    """The file with `overrides` on top that go by its own keys; those in our words are kept apart."""
    values, text = read_values(path)
    ours = [one for one in overrides if split_override(one)[0].split(".")[0] in OWN_WORDS]
    theirs = [one for one in overrides if one not in ours]
    overridden = [apply_override(values, one, place=from_here) for one in theirs]
    return DlasFile(
        path=path, values=values, text=text, overridden=tuple(overridden), own_overrides=tuple(ours)
    )


def from_here(key: str, value: Any) -> Any:  # noqa: ANN401 - a value may be anything
    """A path from the command line is seen from the current folder, if it leads anywhere from there."""
    last = key.rpartition(".")[2]
    if not isinstance(value, str) or (last not in PATHS and not last.startswith("pretrain_model")):
        return value
    here = Path.cwd() / Path(value).expanduser()
    return str(here) if here.exists() else value


def _leaves(section: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in section.items():
        key = f"{prefix}{name}"
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{key}.")
        else:
            yield key, value

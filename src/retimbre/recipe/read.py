"""YAML -> Recipe, with `-c key=value` on top; a wrong word ends in one sentence that names it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from retimbre.errors import RecipeError
from retimbre.recipe import dlas, everyvoice
from retimbre.recipe.files import read_values
from retimbre.recipe.mistakes import line_of, sentence
from retimbre.recipe.overrides import apply_override
from retimbre.recipe.recipe import Recipe


def read_recipe(path: Path, overrides: Iterable[str] = (), *, base: Path | None = None) -> Recipe:
    """The recipe in `path` with `overrides` on top; every path absolute, seen from the recipe's folder.

    A model's YAML or JSON of an EveryVoice project is a recipe as it is, and so is a DL-Art-School YAML for
    TorToiSe: `overrides` then go by its own keys.

    Args:
        base: To begin from, whatever the file says; seen from the working folder.
    """
    return _read(path, overrides, base)[0]


def recipe_notes(path: Path, overrides: Iterable[str] = (), *, base: Path | None = None) -> tuple[str, ...]:
    """What a reader should know about how `read_recipe` understood the file: nothing for our own recipes.

    For EveryVoice's: where results go, what means something else here, and each value without a counterpart.
    For DL-Art-School's: what became of each line.
    """
    return _read(path, overrides, base)[1]


def parse_recipe(
    raw: Mapping[str, Any], *, source: str, text: str = "", overridden: Sequence[str] = ()
) -> Recipe:
    """Plain values -> Recipe, or one sentence about the first thing that is wrong.

    Args:
        source: Where the values come from, for messages.
        text: The file, for line numbers.
        overridden: Keys, as `a.b.c`, whose values come from the command line.
    """

    def where(names: Sequence[str]) -> str:
        line = line_of(names, text)
        return f"{source}{f', line {line}' if line else ''}"

    try:
        return Recipe.model_validate(raw)
    except ValidationError as error:
        raise sentence(error, model=Recipe, where=where, overridden=overridden) from error


@contextmanager
def sizes_from_recipe(section: str) -> Iterator[None]:
    """Where a section's values contradict each other, say so as of a recipe."""
    try:
        yield
    except ValueError as error:
        raise RecipeError(f"the recipe's section '{section}' contradicts itself", found=str(error)) from error


def write_recipe(recipe: Recipe) -> str:
    """The recipe as YAML, everything resolved: reading it again gives the same recipe."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _read(path: Path, overrides: Iterable[str], base: Path | None) -> tuple[Recipe, tuple[str, ...]]:
    if not path.is_file():
        raise RecipeError(f"there is no recipe {path}", do="check the spelling; ready ones are in recipes/")
    raw, text = read_values(path)
    found: everyvoice.Adopted | None = None
    if dlas.is_dlas(raw):
        found = dlas.adopted(path, overrides, base=base)
    elif everyvoice.is_everyvoice(raw):
        found = everyvoice.adopted(path, overrides)
    if found is not None:
        source = f"{path} (understood as a recipe)"
        recipe = parse_recipe(found.values, source=source, overridden=found.overridden)
        return _begun_from(recipe, base), found.notes
    overridden = [apply_override(raw, override) for override in overrides]
    recipe = parse_recipe(raw, source=str(path), text=text, overridden=overridden)
    return _begun_from(recipe.resolved_against(path.parent.resolve()), base), ()


def _begun_from(recipe: Recipe, base: Path | None) -> Recipe:
    return recipe.model_copy(update={"base": base.resolve()}) if base else recipe

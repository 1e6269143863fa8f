"""YAML -> Recipe, with `-c key=value` on top; a wrong word ends in one sentence that names it."""

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from retimbre.errors import RecipeError
from retimbre.recipe.recipe import Recipe


def read_recipe(path: Path, overrides: Iterable[str] = ()) -> Recipe:
    """The recipe in `path` with `overrides` on top; every path absolute, seen from the recipe's folder."""
    if not path.is_file():
        raise RecipeError(f"there is no recipe {path}", do="check the spelling; ready ones are in recipes/")
    try:
        text = path.read_text(encoding="utf-8")
        raw = yaml.safe_load(text)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        place = getattr(error, "problem_mark", None)
        line = f", line {place.line + 1}" if place else ""
        raise RecipeError(f"{path}{line} is not readable as YAML: {' '.join(str(error).split())}") from error
    if not isinstance(raw, dict):
        raise RecipeError(f"{path} is not a recipe", expected="a mapping of keys", found=type(raw).__name__)
    overridden = [_apply(raw, override) for override in overrides]
    recipe = parse_recipe(raw, source=str(path), text=text, overridden=overridden)
    return recipe.resolved_against(path.parent.resolve())


def parse_recipe(
    raw: Mapping[str, Any], *, source: str, text: str = "", overridden: Sequence[str] = ()
) -> Recipe:
    """Plain values -> Recipe, or one sentence about the first thing that is wrong.

    Args:
        source: Where the values come from, for messages.
        text: The file, for line numbers.
        overridden: Keys, as `a.b.c`, whose values come from the command line.
    """
    try:
        return Recipe.model_validate(raw)
    except ValidationError as error:
        raise _sentence(error, source, text, overridden) from error


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


def _apply(raw: dict[str, Any], override: str) -> str:
    """Put one `a.b.c=value` into the raw mapping; which key it was."""
    key, equals, value = override.partition("=")
    if not equals or not key:
        raise RecipeError(f"'-c {override}' is not of the form key=value", do="write -c training.steps=2000")
    *parents, last = key.strip().split(".")
    place = raw
    for name in parents:
        if place.get(name) is None:  # not there, or a heading with nothing under it
            place[name] = {}
        place = place[name]
        if not isinstance(place, dict):
            raise RecipeError(f"'-c {override}': '{name}' holds a value, not a section")
    try:
        place[last] = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise RecipeError(f"'-c {override}': the value is not readable as YAML") from error
    return key.strip()


def _sentence(error: ValidationError, source: str, text: str, overridden: Sequence[str]) -> RecipeError:
    # A misspelt word is often also a missing one: the word that stands there tells more.
    first = min(error.errors(), key=lambda one: one["type"] != "extra_forbidden")
    names = [str(part) for part in first["loc"]]
    key = ".".join(names)
    line = _line_of(names, text)
    where = f"{source}{f', line {line}' if line else ''}"
    if any(f"{key}.".startswith(f"{given}.") for given in overridden):
        where = f"'-c {key}'"
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    if first["type"] == "extra_forbidden":
        near = difflib.get_close_matches(names[-1], _known_words(names[:-1]), n=1, cutoff=0.5)
        known = ", ".join(_known_words(names[:-1]))
        do = f"write '{near[0]}: {first['input']}'" if near else f"known here are {known}"
        return RecipeError(f"{where}: unknown key '{key}'{more}", do=do)
    if first["type"] == "missing":
        return RecipeError(f"{where}: '{key}' is missing{more}", do=f"add '{names[-1]}: …' {_inside(names)}")
    return RecipeError(f"{where}: '{key}' is wrong{more}", expected=first["msg"], found=repr(first["input"]))


def _inside(names: list[str]) -> str:
    return f"under '{'.'.join(names[:-1])}'" if len(names) > 1 else "at the top level"


def _known_words(parents: list[str]) -> list[str]:
    model: type[BaseModel] = Recipe
    for name in parents:
        field = model.model_fields.get(name)
        if (
            field is None
            or not isinstance(field.annotation, type)
            or not issubclass(field.annotation, BaseModel)
        ):
            return []
        model = field.annotation
    return sorted(model.model_fields)


def _line_of(names: list[str], text: str) -> int | None:
    """Line of the deepest part of the key path that stands in the text, counted from 1."""
    node = yaml.compose(text) if text else None
    line = None
    for name in names:
        if not isinstance(node, yaml.MappingNode):
            break
        pair = next((pair for pair in node.value if pair[0].value == name), None)
        if pair is None:
            break
        line, node = pair[0].start_mark.line + 1, pair[1]
    return line

"""`-c a.b.c=value` on the command line: one value put into plain nested values."""

from collections.abc import Callable
from typing import Any

import yaml

from retimbre.errors import RecipeError


def split_override(override: str) -> tuple[str, str]:
    """`a.b=c=d` -> ("a.b", "c=d"): only the first sign counts."""
    key, equals, value = override.partition("=")
    if not equals or not key.strip():
        raise RecipeError(f"'-c {override}' is not of the form key=value", do="write -c training.steps=2000")
    return key.strip(), value


def apply_override(
    raw: dict[str, Any], override: str, *, place: Callable[[str, Any], Any] = lambda key, value: value
) -> str:
    """Put one `a.b.c=value` into the raw values; which key it was. Lists are entered by number, from 0.

    Args:
        place: What is done to a value before it is put there, given its key.
    """
    key, text = split_override(override)
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise RecipeError(f"'-c {override}': the value is not readable as YAML") from error
    *parents, last = key.split(".")
    inside: Any = raw
    for name in parents:
        inside = _entered(inside, name, override)
    _put(inside, last, place(key, value), override)
    return key


def _entered(inside: Any, name: str, override: str) -> Any:  # noqa: ANN401 - a file may hold anything
    """The section or list called `name`; a section is made where there is none."""
    if isinstance(inside, list):
        there = inside[_index(inside, name, override)]
    else:
        if inside.get(name) is None:  # not there, or a heading with nothing under it
            inside[name] = {}
        there = inside[name]
    if not isinstance(there, dict | list):
        raise RecipeError(f"'-c {override}': '{name}' holds a value, not a section")
    return there


def _put(inside: Any, name: str, value: Any, override: str) -> None:  # noqa: ANN401 - a file may hold anything
    inside[_index(inside, name, override) if isinstance(inside, list) else name] = value


def _index(inside: list[Any], name: str, override: str) -> int:
    if not name.isdecimal() or int(name) >= len(inside):
        raise RecipeError(
            f"'-c {override}' names no place in a list",
            expected=f"a number from 0 to {len(inside) - 1}" if inside else "a list that is not empty",
            found=f"'{name}'",
        )
    return int(name)

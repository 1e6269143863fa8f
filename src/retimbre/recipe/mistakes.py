"""A validation error as one sentence: the place, the word, the nearest known word, and a line to paste."""

import difflib
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from retimbre.errors import RecipeError

SHOWN = 120  # characters of a value that is wrong


def sentence(
    error: ValidationError,
    *,
    model: type[BaseModel],
    where: Callable[[Sequence[str]], str],
    overridden: Sequence[str] = (),
) -> RecipeError:
    """The first mistake, and how many more there are.

    Args:
        model: What was expected.
        where: From a key path to the file and line where it stands.
        overridden: Keys, as `a.b.c`, whose values come from the command line.
    """
    # A misspelt word is often also a missing one: the word that stands there tells more.
    first = min(error.errors(), key=lambda one: one["type"] != "extra_forbidden")
    names = [str(part) for part in first["loc"]]
    key = ".".join(names)
    place = where(names)
    if is_overridden(key, overridden):
        place = f"'-c {key}'"
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    if first["type"] == "extra_forbidden":
        known_here = known_words(model, names[:-1])
        near = difflib.get_close_matches(names[-1], known_here, n=1, cutoff=0.5)
        do = f"write '{near[0]}: {first['input']}'" if near else f"known here are {', '.join(known_here)}"
        return RecipeError(f"{place}: unknown key '{key}'{more}", do=do)
    if first["type"] == "missing":
        return RecipeError(f"{place}: '{key}' is missing{more}", do=f"add '{names[-1]}: …' {_inside(names)}")
    return RecipeError(
        f"{place}: '{key}' is wrong{more}", expected=first["msg"], found=repr(first["input"])[:SHOWN]
    )


def is_overridden(key: str, overridden: Sequence[str]) -> bool:
    """Does the value of `key` come from the command line?"""
    return any(f"{key}.".startswith(f"{given}.") for given in overridden)


def known_words(model: type[BaseModel], parents: Sequence[str]) -> list[str]:
    """The keys that there are under `parents`."""
    section: Any = model
    for name in parents:
        if name.isdecimal() and section is not None:
            continue  # the place in a list whose sections are all alike
        field = section.model_fields.get(name)
        section = section_in(field.annotation) if field is not None else None
        if section is None:
            return []
    return sorted(section.model_fields)


def section_in(annotation: Any) -> type[BaseModel] | None:  # noqa: ANN401 - any type
    """The section that an annotation holds, also as one of a list or as an option."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := section_in(part))), None)


def line_of(names: Sequence[str], text: str) -> int | None:
    """Line of the deepest part of the key path that stands in the text, counted from 1."""
    node = _composed(text)
    line = None
    for name in names:
        if isinstance(node, yaml.MappingNode):
            pair = next((pair for pair in node.value if pair[0].value == name), None)
            if pair is None:
                break
            line, node = pair[0].start_mark.line + 1, pair[1]
        elif isinstance(node, yaml.SequenceNode) and name.isdecimal() and int(name) < len(node.value):
            node = node.value[int(name)]
            line = node.start_mark.line + 1
        else:
            break
    return line


@lru_cache(maxsize=4)  # a file of a hundred values is asked for the line of each
def _composed(text: str) -> yaml.Node | None:
    try:
        return yaml.compose(text, Loader=yaml.SafeLoader) if text else None
    except yaml.YAMLError:
        return None  # JSON that is no YAML has no lines for us


def _inside(names: list[str]) -> str:
    return f"under '{'.'.join(names[:-1])}'" if len(names) > 1 else "at the top level"

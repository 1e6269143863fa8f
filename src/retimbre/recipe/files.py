"""YAML and JSON as plain values; nothing in a file is ever run."""

import json
from pathlib import Path
from typing import Any

import yaml

from retimbre.errors import RecipeError


def read_values(path: Path) -> tuple[dict[str, Any], str]:
    """The keys of a file, and its text. A file ending in .json is JSON, any other YAML."""
    try:
        text = path.read_text(encoding="utf-8")
        raw = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except json.JSONDecodeError as error:
        raise RecipeError(f"{path}, line {error.lineno} is not readable as JSON: {error.msg}") from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        place = getattr(error, "problem_mark", None)
        line = f", line {place.line + 1}" if place else ""
        raise RecipeError(f"{path}{line} is not readable as YAML: {' '.join(str(error).split())}") from error
    if not isinstance(raw, dict):
        raise RecipeError(f"{path} is not a recipe", expected="a mapping of keys", found=type(raw).__name__)
    return raw, text

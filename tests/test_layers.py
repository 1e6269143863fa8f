"""Imports point one way: a package may import only from the layers below it."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "retimbre"
LAYERS = [  # lowest first; packages on one line do not import each other
    {"errors"},
    {"audio", "text", "nn", "checkpoint", "jobs", "starter"},
    {"recipe"},
    {"data"},
    {"models"},
    {"pipelines"},
    {"evaluate"},
    {"training"},
    {"report"},
    {"matching", "diagnose"},
    {"app"},
    {"cli"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}


def imported_packages(file: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        names = []
        if isinstance(node, ast.ImportFrom):
            if node.level:
                found.add("a relative import")  # not allowed: LEVEL has no such name
            elif node.module == "retimbre":
                # __version__ is a plain string: whoever imports it, imports no package of ours.
                names = [f"retimbre.{alias.name}" for alias in node.names if alias.name != "__version__"]
            else:
                names = [node.module or ""]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        found |= {name.split(".")[1] for name in names if name.startswith("retimbre.")}
    return found


@pytest.mark.parametrize("file", sorted(SOURCE.rglob("*.py")), ids=lambda f: str(f.relative_to(SOURCE)))
def test_imports_point_down(file):
    here = file.relative_to(SOURCE).parts[0].removesuffix(".py")
    if here.startswith("__"):
        return  # the package root re-exports the public names
    for other in imported_packages(file) - {here}:
        assert LEVEL.get(other, 99) < LEVEL[here], f"{here} may not import {other}"

"""The table of tensors on each family's page is that of the network at its released size.

A table of tensors has `released` in the head of its third column:

    | tensor | shape | released | what it is |
    |---|---|---|---|
    | `gpt.h.N.attn.c_attn.weight` | `dim × 3·dim` | 1024 × 3072 | stored in × out |
    | `a.weight` / `a.bias` | `dim × dim` / `dim` | 8 × 8 / 8 | a pair |
    | `b.N.weight` | `kernel` | 3 or 5 | differs with N |

N and M stand for any number; no axes are `scalar`. A row whose last cell says `optional` need not be there.
"""

import importlib
import re
from dataclasses import is_dataclass
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from retimbre.models.family import Family

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "families"
PAGES = sorted(page for page in FOLDER.glob("*.md") if page.stem != "others")  # those are no family of ours


class Row(NamedTuple):
    """One line: some tensors, with the shapes that each may have."""

    pattern: str
    n_axes: set[int]
    shapes: set[tuple[int, ...]]
    is_optional: bool
    line: str


def table_rows(text):
    """The rows of all tables of tensors on a page."""
    is_table = False
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if not line.startswith("|"):
            is_table = False
        elif len(cells) == 4 and "released" in cells[2].lower():
            is_table = True
        elif is_table and not set(line) <= set("|-: "):
            yield from rows_of(line, cells)


def rows_of(line, cells):
    """One Row for each of the names in a line."""
    names = re.findall(r"`([^`]+)`", cells[0])
    assert names, f"no name in backticks: {line}"
    symbols, released = cells[1].replace("`", "").split(" / "), cells[2].replace("`", "").split(" / ")
    assert {len(symbols), len(released)} <= {1, len(names)}, f"other numbers of names and shapes: {line}"
    for number, name in enumerate(names):
        pattern = re.sub(r"\b[NM]\b", "[0-9]+", re.escape(name))
        yield Row(
            pattern=pattern,
            n_axes={axes_in(text) for text in symbols[number if len(symbols) > 1 else 0].split(" or ")},
            shapes={shape_in(text) for text in released[number if len(released) > 1 else 0].split(" or ")},
            is_optional="optional" in cells[3],
            line=line,
        )


def axes_in(text):
    """How many axes a shape in symbols has."""
    return 0 if text.strip() == "scalar" else len(text.split("×"))


def shape_in(text):
    """A shape in numbers."""
    if text.strip() == "scalar":
        return ()
    return tuple(int(number.replace(",", "")) for number in text.split("×"))


def released_network(name):
    """The family's network at its released size, without numbers.

    The size is `RELEASED` of its config module, or else what the one config gives that needs no arguments.
    """
    package = importlib.import_module(f"retimbre.models.{name}")
    config = importlib.import_module(f"retimbre.models.{name}.config")
    (family,) = [value for value in vars(package).values() if isinstance(value, Family)]
    sizes = [config.RELEASED] if hasattr(config, "RELEASED") else list(default_configs(config))
    with torch.device("meta"):
        for size in sizes:
            try:
                return family.build(size)
            except (AttributeError, TypeError):
                continue  # the config of another part, such as discriminators
    raise AssertionError(f"retimbre.models.{name}.config needs a RELEASED config")


def default_configs(config):
    """Configs that are defined there and need no arguments."""
    for value in vars(config).values():
        if isinstance(value, type) and is_dataclass(value) and value.__module__ == config.__name__:
            try:
                yield value()
            except TypeError:
                continue


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_tensor_of_the_released_size_is_in_one_row_with_its_shape(page):
    rows = list(table_rows(page.read_text(encoding="utf-8")))
    shapes = {name: tuple(t.shape) for name, t in released_network(page.stem).state_dict().items()}
    used = set()
    assert rows, f"{page.name} has no table of tensors"
    for name, shape in shapes.items():
        fitting = [row for row in rows if re.fullmatch(row.pattern, name)]
        assert len(fitting) == 1, f"'{name}' is in {len(fitting)} rows: {[row.line for row in fitting]}"
        (row,) = fitting
        used.add((row.pattern, shape))
        assert shape in row.shapes, f"'{name}' has shape {shape}: {row.line}"
        assert len(shape) in row.n_axes, f"'{name}' has shape {shape}: {row.line}"
    for row in rows:
        unused = [shape for shape in row.shapes if (row.pattern, shape) not in used]
        assert row.is_optional or not unused, f"no tensor {row.pattern} has shape {unused}: {row.line}"


def test_a_table_is_read_as_it_is_meant():
    text = """
| option | rule | value | why |
|---|---|---|---|
| `heads` | width / 64 | 16 | not told |

| tensor | shape | at the released size | what |
|---|---|---|---|
| `a.N.weight` / `a.N.bias` | `dim × M` / `dim` | 1,024 × 3 or 8 × 3 / 8 | a pair |
| `NAME.t` | scalar | scalar | optional |

| `later` | x | 1 | in no table |
"""
    rows = list(table_rows(text))

    assert [row.pattern for row in rows] == [r"a\.[0-9]+\.weight", r"a\.[0-9]+\.bias", r"NAME\.t"]
    assert [row.shapes for row in rows] == [{(1024, 3), (8, 3)}, {(8,)}, {()}]
    assert [row.n_axes for row in rows] == [{2}, {1}, {0}]
    assert [row.is_optional for row in rows] == [False, False, True]

"""Values that somebody states about a model, as JSON knows them: right, or refused in one sentence."""

# ruff: noqa: ANN401 (what is stated may be anything)

from typing import Any

from retimbre.errors import CheckpointError

LARGEST = 1 << 16


def whole_numbers(value: Any, name: str, n: int) -> tuple[int, ...]:
    """`n` whole numbers from 1 on.

    Args:
        value: What was stated.
        name: Under which name.
        n: How many the tensors ask for.
    """
    if isinstance(value, list | tuple) and len(value) == n and all(map(_is_whole, value)):
        return tuple(value)
    raise _refused(name, f"a list of {n} whole numbers from 1 to {LARGEST:,}", value)


def rows_of_numbers(value: Any, name: str, n_rows: int, n: int) -> tuple[tuple[int, ...], ...]:
    """`n_rows` lists of `n` whole numbers from 1 on."""
    if isinstance(value, list | tuple) and len(value) == n_rows:
        return tuple(whole_numbers(row, name, n) for row in value)
    raise _refused(name, f"{n_rows} lists of {n} whole numbers", value)


def share(value: Any, name: str) -> float:
    """A number from 0 up to, not including, 1."""
    if type(value) in (int, float) and 0 <= value < 1:
        return float(value)
    raise _refused(name, "a number from 0 to below 1", value)


def _is_whole(value: Any) -> bool:
    return type(value) is int and 1 <= value <= LARGEST


def _refused(name: str, expected: str, found: Any) -> CheckpointError:
    return CheckpointError(
        f"'{name}' does not fit the tensors",
        expected=expected,
        found=repr(found)[:80],
        do="'retimbre inspect FILE' says what a file holds and what it assumes",
    )

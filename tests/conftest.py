"""What all tests share: checked shapes, and the reference data where it is at hand."""

from collections.abc import Callable
from pathlib import Path

import pytest
from jaxtyping import install_import_hook

# Shape annotations are documentation in use and assertions under test.
install_import_hook("retimbre", "beartype.beartype")

SHARED = (Path(__file__).resolve().parents[2] / "shared").resolve()  # it may be a link


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference data beside the checkout; tests that want it skip where there is none.

    Where the folder is, nothing skips: what is missing in it fails.
    """
    if not SHARED.is_dir():
        pytest.skip(f"there is no folder of reference data beside the checkout: {SHARED}")
    return SHARED


@pytest.fixture(scope="session")
def parity(shared: Path) -> Callable[[str], Path]:
    """The folder of one reference fixture, by name."""
    return lambda name: shared / "parity" / name

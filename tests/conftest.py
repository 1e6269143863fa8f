"""What all tests share: checked shapes, and the reference data where it is at hand."""

import pkgutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
from jaxtyping import install_import_hook

# Shape annotations are documentation in use and assertions under test. Only checkpoint/ has none: it calls
# functions for every few bytes of a pickle; with each of them checked, reading would take 20 times as long.
PACKAGES = [
    f"retimbre.{found.name}"
    for found in pkgutil.iter_modules(find_spec("retimbre").submodule_search_locations)
]
install_import_hook([name for name in PACKAGES if name != "retimbre.checkpoint"], "beartype.beartype")

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


@pytest.fixture(scope="session")
def tortoise_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a complete tiny set of TorToiSe's files with random weights; not to be written to."""
    from building.tortoise_set import tiny_tortoise_set  # after the hook above

    return tiny_tortoise_set(tmp_path_factory.mktemp("tortoise_set"))

"""Files as torch.save writes them, with any pickle inside."""

from collections.abc import Callable
from pathlib import Path

import pytest

from building.containers import in_legacy, in_zip


@pytest.fixture(params=["torch-zip", "torch-legacy"])
def file_with(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., Path]:
    """A function that wraps a pickle in either container and gives the path."""

    def write(contents: bytes, *, storages: dict[str, bytes] | None = None, name: str = "made.pt") -> Path:
        wrap = in_zip if request.param == "torch-zip" else in_legacy
        path = tmp_path / name
        path.write_bytes(wrap(contents, storages or {}))
        return path

    write.container = request.param
    return write

"""Files as torch.save writes them, with any pickle inside."""

import io
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C


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


def in_zip(contents: bytes, storages: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("made/data.pkl", contents)
        for key, raw in storages.items():
            archive.writestr(f"made/data/{key}", raw)
    return buffer.getvalue()


def in_legacy(contents: bytes, storages: dict[str, bytes]) -> bytes:
    """Storages are taken to be of float32."""
    head = [pickle.dumps(value, protocol=2) for value in (LEGACY_MAGIC, 1001, {"little_endian": True})]
    keys = pickle.dumps(sorted(storages), protocol=2)
    raw = [struct.pack("<q", len(storages[key]) // 4) + storages[key] for key in sorted(storages)]
    return b"".join([*head, contents, keys, *raw])

"""Safetensors: one file, or several with an index beside them."""

import json
import struct
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from retimbre.errors import CheckpointError

MAX_HEADER_BYTES = 100_000_000  # the format's own limit
MAX_INDEX_BYTES = 50_000_000


def read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors, and the text in the head of the file."""
    _check_header(path)
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
            return tensors, dict(file.metadata() or {})
    except (SafetensorError, ValueError, KeyError, AttributeError) as error:
        raise _damaged(str(error)) from error


def read_index(path: Path) -> dict[str, Tensor]:
    """All tensors of a model in several files, from its `….safetensors.index.json`."""
    tensors: dict[str, Tensor] = {}
    wanted = _weight_map(path)
    for shard in sorted(set(wanted.values())):
        file = path.parent / shard
        if not file.is_file():
            raise CheckpointError(
                "a part of the model is missing", expected=str(file), do="copy it beside the index"
            )
        tensors |= {
            name: tensor for name, tensor in read_safetensors(file)[0].items() if wanted.get(name) == shard
        }
    missing = sorted(wanted.keys() - tensors.keys())
    if missing:
        raise CheckpointError("the index names tensors that no part holds", found=", ".join(missing[:3]))
    return tensors


def _weight_map(path: Path) -> dict[str, str]:
    if path.stat().st_size > MAX_INDEX_BYTES:
        raise CheckpointError("this JSON file is too large for an index")
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise CheckpointError("this JSON file cannot be read", found=str(error)[:120]) from error
    found = content.get("weight_map")
    if not isinstance(found, dict) or not found:
        raise CheckpointError(
            "this JSON file holds no weights",
            expected="an index of .safetensors files",
            do="give the checkpoint; a config.json beside it is found by itself",
        )
    for shard in found.values():
        # The index may come from anywhere: it must not lead out of its folder.
        if not isinstance(shard, str) or Path(shard).name != shard or not shard.endswith(".safetensors"):
            raise CheckpointError("the index names a file outside its folder", found=ascii(shard)[:80])
    return found


def _check_header(path: Path) -> None:
    n_bytes = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(8)
    if len(head) < 8:
        raise _damaged("fewer than 8 bytes")
    (n_header,) = struct.unpack("<Q", head)
    if n_header > min(MAX_HEADER_BYTES, n_bytes - 8):
        raise _damaged(f"a header of {n_header} bytes in a file of {n_bytes}")


def _damaged(found: str) -> CheckpointError:
    return CheckpointError(
        "the .safetensors file is damaged or cut short",
        found=ascii(found)[1:-1][:160],
        do="copy or download it again",
    )

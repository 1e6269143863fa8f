"""Safetensors: one file, or several with an index beside them.

    8 bytes      the length of the header, little end first
    header       JSON: name -> dtype, shape, data_offsets (from the end of the header); __metadata__ -> texts
    data         the tensors one after the other, without holes

The file is mapped into memory, so a tensor costs nothing until it is used.
"""

# ruff: noqa: ANN401 (a header may hold anything in any place)

import json
import mmap
import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from retimbre.checkpoint.lazy import LazyTensors, Outline
from retimbre.errors import CheckpointError

MAX_HEADER_BYTES = 100_000_000  # the format's own limit
MAX_INDEX_BYTES = 50_000_000
MAX_JSON_VALUES = 700_000  # as signs that begin one or follow one: each may take 100 bytes of memory
MAX_SIZES = 64  # of one tensor; torch's own limit
SHARD = re.compile(r"[^/\\\x00-\x1f]+\.safetensors")  # a name, not a way
METADATA = "__metadata__"

DTYPES: Mapping[str, torch.dtype] = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2, "C64": torch.complex64,
    "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "BOOL": torch.bool,
    "U64": torch.uint64, "U32": torch.uint32, "U16": torch.uint16, "U8": torch.uint8,
}  # fmt: skip

# What nonsense in a header ends in; JSON that is none is a ValueError.
NONSENSE = (ValueError, TypeError, KeyError, RecursionError, OverflowError)


@dataclass(frozen=True, eq=False)
class Slice(Outline):
    """A tensor that has not been read yet, and the file that holds its bytes."""

    at: int
    mapped: mmap.mmap

    def tensor(self) -> Tensor:
        """The tensor over the mapped file, or a copy where the file aligns it badly."""
        n_bytes = prod(self.shape) * self.dtype.itemsize
        if not n_bytes:
            return torch.empty(self.shape, dtype=self.dtype)
        raw = torch.frombuffer(self.mapped, dtype=torch.uint8, count=n_bytes, offset=self.at)
        is_aligned = self.at % self.dtype.itemsize == 0
        return (raw if is_aligned else raw.clone()).view(self.dtype).view(self.shape)


def read_safetensors(path: Path) -> tuple[LazyTensors, dict[str, str]]:
    """Tensors, and the text in the head of the file."""
    slices, metadata = _slices(path)
    return _lazy(slices), metadata


def read_index(path: Path) -> LazyTensors:
    """All tensors of a model in several files, from its `….safetensors.index.json`."""
    slices: dict[str, Slice] = {}
    wanted = _weight_map(path)
    for file in parts_of(path):
        if not file.is_file():
            raise CheckpointError(
                "a part of the model is missing",
                expected=ascii(str(file))[1:-1],
                do="copy it beside the index",
            )
        found = _slices(file)[0]
        slices |= {name: place for name, place in found.items() if wanted.get(name) == file.name}
    missing = sorted(wanted.keys() - slices.keys())
    if missing:
        names = ", ".join(ascii(name)[1:-1][:60] for name in missing[:3])
        raise CheckpointError("the index names tensors that no part holds", found=names)
    return _lazy(slices)


def parts_of(index: Path) -> list[Path]:
    """The files that an index names."""
    return [index.parent / part for part in sorted(set(_weight_map(index).values()))]


def _lazy(slices: Mapping[str, Slice]) -> LazyTensors:
    return LazyTensors(slices, lambda name: slices[name].tensor())


def _slices(path: Path) -> tuple[dict[str, Slice], dict[str, str]]:
    n_bytes = path.stat().st_size
    with path.open("rb") as file:
        n_header = int.from_bytes(file.read(8), "little")
        if n_header > min(MAX_HEADER_BYTES, n_bytes - 8):
            raise _damaged(f"a header of {n_header} bytes in a file of {n_bytes}")
        header = file.read(n_header)
        # A private copy: torch wants writable memory; the file itself is never changed.
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    try:
        entries = read_json(header)
        metadata = _metadata(entries.pop(METADATA, {}))
        slices = {name: _slice(entry, 8 + n_header, mapped) for name, entry in entries.items()}
        _require_dense(entries, n_bytes - 8 - n_header)
    except NONSENSE as error:
        raise _damaged(str(error)) from error
    return slices, metadata


def read_json(text: bytes) -> dict[str, Any]:
    """The object that a JSON text describes; each key once, and no more values than fit into memory."""
    if sum(text.count(sign) for sign in (b"[", b"{", b",")) > MAX_JSON_VALUES:
        raise ValueError("more values than any list of tensors has")
    content = json.loads(text.decode("utf-8"), object_pairs_hook=_each_once)
    if not isinstance(content, dict):
        raise TypeError("no object")
    return content


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    "".join(content).encode("utf-8")  # halves of characters could not be shown
    if len(content) != len(pairs):
        raise ValueError("a key stands there twice")
    return content


def _metadata(texts: Any) -> dict[str, str]:
    if not isinstance(texts, dict) or not all(isinstance(text, str) for text in texts.values()):
        raise TypeError(f"{METADATA} that is no list of texts")
    return texts


def _slice(entry: Any, data_at: int, mapped: mmap.mmap) -> Slice:
    shape, (begins, ends) = entry["shape"], entry["data_offsets"]
    if entry["dtype"] not in DTYPES:
        raise ValueError(f"numbers of the kind {ascii(entry['dtype'])[:40]}")
    dtype = DTYPES[entry["dtype"]]
    if not isinstance(shape, list) or len(shape) > MAX_SIZES:
        raise ValueError(f"a tensor of more than {MAX_SIZES} sizes")
    if any(type(number) is not int or not 0 <= number < 1 << 59 for number in (*shape, begins, ends)):
        raise ValueError("a size or a place that is no whole number, or none that a file can have")
    if prod(max(size, 1) for size in shape) >= 1 << 59 or prod(shape) * dtype.itemsize != ends - begins:
        raise ValueError(f"a tensor of shape {shape} in {ends - begins} bytes")
    return Slice(dtype, tuple(shape), data_at + begins, mapped)


def _require_dense(entries: Mapping[str, Any], n_bytes: int) -> None:
    """No two tensors share bytes and none lies between them: the file cannot be something else besides."""
    at = 0
    for begins, ends in sorted(entry["data_offsets"] for entry in entries.values()):
        if begins != at:
            raise ValueError(f"a tensor begins at {begins}, expected at {at}")
        at = ends
    if at != n_bytes:
        raise ValueError(f"{n_bytes} bytes of tensors, expected {at}")


def _weight_map(path: Path) -> dict[str, str]:
    if path.stat().st_size > MAX_INDEX_BYTES:
        raise CheckpointError("this JSON file is too large for an index")
    try:
        content = read_json(path.read_bytes())
    except NONSENSE as error:
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
        if not isinstance(shard, str) or not SHARD.fullmatch(shard):
            raise CheckpointError("the index names a file outside its folder", found=ascii(shard)[:80])
    return found


def _damaged(found: str) -> CheckpointError:
    return CheckpointError(
        "the .safetensors file is damaged or cut short",
        found=ascii(found)[1:-1][:160],
        do="copy or download it again",
    )

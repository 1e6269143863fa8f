"""The two containers of torch.save: where its pickle and its storages lie in the file.

    zip      since torch 1.6: <root>/data.pkl, and one record <root>/data/<key> for each storage
    legacy   before: five pickles (magic number, protocol, system, the object, storage keys), then each
             storage as a count of 8 bytes and its raw bytes

The file is mapped into memory, so a tensor costs nothing until it is used.
"""

# ruff: noqa: ANN401 (a file may hold anything in any place)

import io
import mmap
import re
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from retimbre.checkpoint.lazy import LazyTensors, Outline
from retimbre.checkpoint.pickles import Machine
from retimbre.checkpoint.rebuild import STORAGES, Note, Sparse, Storage, Stored
from retimbre.checkpoint.zip_records import BrokenZip, Record, records_of
from retimbre.errors import CheckpointError

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_PROTOCOL = 1001
MAX_PICKLE_BYTES = 1 << 27
MAX_INFLATION = 20  # how much larger compressed records may become than the whole file ...
FREE_INFLATION_BYTES = 1 << 26  # ... beyond this
ALIGNMENT_BYTES = 16  # of the largest number
LABEL = re.compile(r"[a-z]{1,20}(:\d{1,3})?")  # of a device, such as cuda:0
BROKEN_LEGACY = (
    struct.error,  # a storage whose length would stand behind the end of the file
    TypeError,  # keys of storages that are no list of texts
    KeyError,  # a key that no tensor declared
    ValueError,  # a storage of another length than declared
)


@dataclass(frozen=True)
class Run:
    """Where the bytes of a storage lie in the file, or the compressed record that they are in."""

    at: int
    n_bytes: int
    packed: Record | None = None


NO_RUN = Run(0, 0)


class Storages:
    """The runs of bytes that a pickle declares, and tensors over them."""

    def __init__(self, mapped: mmap.mmap, runs: Mapping[str, Run]) -> None:
        self._mapped = mapped
        self._runs = runs  # by the key of the storage

    def require(self, stored: Iterable[Stored | Sparse]) -> None:
        """Raise if the file does not hold the whole storage of each tensor; no weight is read."""
        parts = [part for each in stored for part in each.parts]
        for part in parts:
            self._require(part.storage)
        runs = [self._runs.get(part.storage.key, NO_RUN) for part in parts]
        # Each tensor unpacks the record that it is in.
        _refuse_inflation(sum(run.n_bytes for run in runs if run.packed), len(self._mapped))

    def _require(self, storage: Storage) -> None:
        run = self._runs.get(storage.key, NO_RUN)
        n_there = run.n_bytes - storage.offset_bytes
        if run.packed is None:
            n_there = min(n_there, len(self._mapped) - run.at - storage.offset_bytes)
        if n_there < storage.n_bytes:
            raise CheckpointError(
                "the file is damaged or cut short",
                expected=f"{storage.n_bytes} bytes in storage {ascii(storage.key[:40])}",
                found=f"{max(n_there, 0)}",
                do="copy or download it again",
            )

    def tensors(self, stored: Mapping[str, Stored | Sparse]) -> LazyTensors:
        """Those of a dictionary, each read when it is asked for."""
        outlines = {name: Outline(each.dtype, each.shape) for name, each in stored.items()}
        return LazyTensors(outlines, lambda name: self.tensor(stored[name]))

    def tensor(self, stored: Stored | Sparse) -> Tensor:
        """The tensor; those that share a storage in the file share it here, where it is only mapped."""
        return self._dense(stored) if isinstance(stored, Sparse) else self._strided(stored)

    def _dense(self, stored: Sparse) -> Tensor:
        places, values = self._strided(stored.places), self._strided(stored.values)
        try:
            sparse = torch.sparse_coo_tensor(places, values, stored.shape, check_invariants=True)
            return sparse.to_dense()
        except RuntimeError as error:  # places outside the shape
            raise _damaged(error) from error

    def _strided(self, stored: Stored) -> Tensor:
        if 0 in stored.shape:
            return torch.empty(stored.shape, dtype=stored.dtype)
        run, begins = self._runs[stored.storage.key], stored.storage.offset_bytes
        begins += stored.offset * stored.dtype.itemsize
        if run.packed:
            raw = torch.frombuffer(self._unpacked(run.packed), dtype=torch.uint8)
            raw = raw[begins : begins + stored.span_bytes]
        else:
            raw = torch.frombuffer(
                self._mapped, dtype=torch.uint8, count=stored.span_bytes, offset=run.at + begins
            )
            if run.at % ALIGNMENT_BYTES:  # legacy files align nothing
                raw = raw.clone()
        return _flagged(raw.view(stored.dtype).as_strided(stored.shape, stored.stride), stored)

    def _unpacked(self, record: Record) -> bytearray | memoryview:
        try:
            return record.unpacked(self._mapped)
        except BrokenZip as error:
            raise _damaged(error) from error


@dataclass(frozen=True)
class Pickled:
    """The value in a file with tensors as `Stored`, the names it refers to, and where the tensors are."""

    tree: Any
    names: tuple[str, ...]
    storages: Storages


def read_zip(path: Path) -> Pickled:
    """The contents of a file that torch.save wrote since version 1.6."""
    with path.open("rb") as file:
        mapped = _mapped(file)
        try:
            return _from_records(records_of(file, mapped), mapped)
        except BrokenZip as error:
            raise _damaged(error) from error


def read_legacy(path: Path) -> Pickled:
    """The contents of a file that torch.save wrote before version 1.6."""
    with path.open("rb") as file:
        return _from_pickles(file, _mapped(file))


def _from_pickles(file: BinaryIO, mapped: mmap.mmap) -> Pickled:
    declared: dict[str, tuple[int, int]] = {}
    machine = Machine(lambda identity: _legacy_storage(identity, declared))
    if machine.run(mapped) != LEGACY_MAGIC or machine.run(mapped, machine.end) != LEGACY_PROTOCOL:
        raise CheckpointError("this pickle holds no weights", expected="a file written by torch.save")
    machine.run(mapped, machine.end)  # byte order and sizes of the writing system
    tree = machine.run(mapped, machine.end)
    keys = machine.run(mapped, machine.end)
    try:
        runs = _legacy_runs(file, machine.end, keys, declared)
    except BROKEN_LEGACY as error:
        raise _damaged(error) from error
    return Pickled(tree, tuple(machine.names), Storages(mapped, runs))


def _from_records(records: Mapping[str, Record], mapped: mmap.mmap) -> Pickled:
    _refuse_bombs(records, len(mapped))
    root = _root(records)
    order = records.get(f"{root}byteorder")
    if order and order.n_bytes == 3 and bytes(order.unpacked(mapped)) == b"big":
        raise CheckpointError("the numbers in this file are stored big end first, which we do not read")

    prefix = f"{root}data/"
    runs = {
        name.removeprefix(prefix): Run(record.at, record.n_bytes, record if record.is_packed else None)
        for name, record in records.items()
        if name.startswith(prefix)
    }
    machine = Machine(zip_storage)
    tree = machine.run(records[f"{root}data.pkl"].unpacked(mapped))
    return Pickled(tree, tuple(machine.names), Storages(mapped, runs))


def _root(records: Mapping[str, Record]) -> str:
    """The folder that all records are in, with its slash."""
    roots = [name.removesuffix("data.pkl") for name in records if name.split("/")[1:] == ["data.pkl"]]
    if len(roots) != 1:
        is_numpy = bool(records) and all(name.endswith(".npy") for name in records)
        raise CheckpointError(
            "this zip file holds no weights",
            expected="a file written by torch.save",
            found="arrays of numpy (.npz)" if is_numpy else None,
        )
    if f"{roots[0]}constants.pkl" in records:
        raise CheckpointError(
            "this file holds a TorchScript program, not weights alone",
            do="ask for the checkpoint it was made from",
        )
    return roots[0]


def _refuse_bombs(records: Mapping[str, Record], n_bytes: int) -> None:
    _refuse_inflation(sum(record.n_bytes for record in records.values() if record.is_packed), n_bytes)
    largest = max((record.n_bytes for name, record in records.items() if name.endswith(".pkl")), default=0)
    if largest > MAX_PICKLE_BYTES:
        raise CheckpointError("the list of contents in the file is too long", found=f"{largest} bytes")


def _refuse_inflation(inflated: int, n_bytes: int) -> None:
    if inflated > n_bytes * MAX_INFLATION + FREE_INFLATION_BYTES:
        raise CheckpointError(
            "this zip file would unpack to far more than it is",
            expected=f"about {n_bytes} bytes",
            found=f"{inflated}",
        )


def zip_storage(identity: Any) -> Storage:
    """The storage that torch's persistent id in a zip file names."""
    kind, storage_type, key, location, n_items = identity
    dtype = _storage_dtype(kind, storage_type, key, n_items)
    return Storage(key, dtype, n_items * (dtype.itemsize if dtype else 1), location=_label(location))


def _legacy_storage(identity: Any, declared: dict[str, tuple[int, int]]) -> Storage | Note:
    """A storage or a part of one; `declared` keeps how long each whole one is, and its items."""
    if isinstance(identity, tuple) and identity and identity[0] == "module":
        name = identity[1].name  # a class that came with its source code
        return Note(f"class {name}")
    kind, storage_type, key, location, n_items, part = identity
    dtype = _storage_dtype(kind, storage_type, key, n_items)
    size = dtype.itemsize if dtype else 1
    if declared.setdefault(key, (n_items, size)) != (n_items, size):
        raise ValueError(f"storage {ascii(key[:40])} is declared twice")
    if part is None:
        return Storage(key, dtype, n_items * size, location=_label(location))
    _, first, n_part = part
    if type(first) is not int or type(n_part) is not int or first < 0 or not 0 <= n_part <= n_items - first:
        raise ValueError("a part beyond its storage")
    return Storage(key, dtype, n_part * size, first * size, _label(location))


def _storage_dtype(kind: Any, storage_type: Any, key: Any, n_items: Any) -> torch.dtype | None:
    if kind != "storage" or not isinstance(key, str) or type(n_items) is not int or n_items < 0:
        raise ValueError("a persistent id that is no storage")
    return STORAGES[storage_type.name]


def _label(location: Any) -> str:
    """The device that a storage was on; it is only shown."""
    return location if isinstance(location, str) and LABEL.fullmatch(location) else "?"


def _legacy_runs(
    file: BinaryIO, at: int, keys: Any, declared: Mapping[str, tuple[int, int]]
) -> dict[str, Run]:
    n_file = file.seek(0, io.SEEK_END)
    runs = {}
    for key in keys:
        if not isinstance(key, str):  # hashing a deeply nested tuple would end the process
            raise TypeError("the key of a storage is no text")
        n_items, size = declared[key]
        file.seek(at)  # and no look into the mapping, which would bring in a part of the weights
        (n_stored,) = struct.unpack("<q", file.read(8))
        if n_stored != n_items or at + 8 + n_items * size > n_file:
            raise ValueError(
                f"storage {ascii(key[:40])} of {n_items} items ends beyond the file, or has {n_stored}"
            )
        runs[key] = Run(at + 8, n_items * size)
        at += 8 + n_items * size
    return runs


def _mapped(file: BinaryIO) -> mmap.mmap:
    # A private copy: torch wants writable memory; the file itself is never changed.
    return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)


def _flagged(tensor: Tensor, stored: Stored) -> Tensor:
    if stored.is_conjugated:
        tensor = tensor.conj().resolve_conj()
    return torch.neg(tensor) if stored.is_negated else tensor


def _damaged(error: Exception) -> CheckpointError:
    return CheckpointError(
        "the file is damaged or cut short",
        found=f"{type(error).__name__}: {ascii(str(error))[1:-1][:120]}",
        do="copy or download it again",
    )

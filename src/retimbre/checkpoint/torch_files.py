"""The two containers of torch.save: where its pickle and its storages lie in the file.

    zip      since torch 1.6: <root>/data.pkl, and one record <root>/data/<key> for each storage
    legacy   before: five pickles (magic number, protocol, system, the object, storage keys), then each
             storage as a count of 8 bytes and its raw bytes

The file is mapped into memory, so a tensor costs nothing until it is used.
"""

# ruff: noqa: ANN401 (a file may hold anything in any place)

import io
import mmap
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from retimbre.checkpoint.lazy import LazyTensors, Outline
from retimbre.checkpoint.pickles import Machine
from retimbre.checkpoint.rebuild import STORAGES, Note, Storage, Stored
from retimbre.errors import CheckpointError

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_PROTOCOL = 1001
MAX_PICKLE_BYTES = 1 << 29
MAX_INFLATION = 20  # how much larger compressed records may become than the whole file ...
FREE_INFLATION_BYTES = 1 << 26  # ... beyond this
ALIGNMENT_BYTES = 16  # of the largest number
READABLE = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # what torch.load reads, too
ENCRYPTED = 0x1  # of a record's flags

# What reading a damaged zip file ends in. The pickle in it is none of this: the machine names its own damage.
BROKEN_ZIP = (
    zipfile.BadZipFile,  # no record where one should be, or a checksum that differs
    NotImplementedError,  # a byte of version or flags that stands for a zip file of another kind
    EOFError,  # a record that ends early
    struct.error,  # a record beyond the end of the file
    zlib.error,  # bytes that no compressor wrote
    ValueError,  # a name that is no UTF-8, or a place before the beginning of the file
    OverflowError,  # a place beyond 2**63
)
BROKEN_LEGACY = (
    struct.error,  # a storage whose length would stand behind the end of the file
    TypeError,  # keys of storages that are no list of texts
    KeyError,  # a key that no tensor declared
    ValueError,  # a storage of another length than declared
)


@dataclass(frozen=True)
class Run:
    """Where the bytes of a storage lie in the file; `n_packed` of them if they are compressed."""

    at: int
    n_bytes: int
    n_packed: int | None = None
    checksum: int = 0  # of compressed ones


NO_RUN = Run(0, 0)


class Storages:
    """The runs of bytes that a pickle declares, and tensors over them."""

    def __init__(self, mapped: mmap.mmap, runs: Mapping[str, Run]) -> None:
        self._mapped = mapped
        self._runs = runs  # by the key of the storage

    def require(self, stored: Stored) -> None:
        """Raise if the file does not hold the whole storage of a tensor; no weight is read."""
        storage = stored.storage
        run = self._runs.get(storage.key, NO_RUN)
        n_there = run.n_bytes - storage.offset_bytes
        if run.n_packed is None:
            n_there = min(n_there, len(self._mapped) - run.at - storage.offset_bytes)
        if n_there < storage.n_bytes:
            raise CheckpointError(
                "the file is damaged or cut short",
                expected=f"{storage.n_bytes} bytes in storage {storage.key[:40]!r}",
                found=f"{max(n_there, 0)}",
                do="copy or download it again",
            )

    def tensors(self, stored: Mapping[str, Stored]) -> LazyTensors:
        """Those of a dictionary, each read when it is asked for."""
        outlines = {name: Outline(each.dtype, each.shape) for name, each in stored.items()}
        return LazyTensors(outlines, lambda name: self.tensor(stored[name]))

    def tensor(self, stored: Stored) -> Tensor:
        """The tensor; those that share a storage in the file share it here, where it is only mapped."""
        self.require(stored)
        if 0 in stored.shape:
            return torch.empty(stored.shape, dtype=stored.dtype)
        run, begins = self._runs[stored.storage.key], stored.storage.offset_bytes
        begins += stored.offset * stored.dtype.itemsize
        if run.n_packed is not None:
            whole = torch.frombuffer(self._unpacked(run), dtype=torch.uint8)
            raw = whole[begins : begins + stored.span_bytes]
        else:
            raw = torch.frombuffer(
                self._mapped, dtype=torch.uint8, count=stored.span_bytes, offset=run.at + begins
            )
            if run.at % ALIGNMENT_BYTES:  # legacy files align nothing
                raw = raw.clone()
        return _flagged(raw.view(stored.dtype).as_strided(stored.shape, stored.stride), stored)

    def _unpacked(self, run: Run) -> bytearray:
        """The bytes of a compressed record: never more than it declares."""
        packed = memoryview(self._mapped)[run.at : run.at + (run.n_packed or 0)]
        try:
            raw = zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, run.n_bytes)
        except zlib.error as error:
            raise _damaged(error) from error
        if len(raw) != run.n_bytes or zlib.crc32(raw) != run.checksum:
            raise _damaged(zipfile.BadZipFile("a compressed record that is not what it declares"))
        return bytearray(raw)


@dataclass(frozen=True)
class Pickled:
    """The value in a file with tensors as `Stored`, the names it refers to, and where the tensors are."""

    tree: Any
    names: tuple[str, ...]
    storages: Storages


def read_zip(path: Path) -> Pickled:
    """The contents of a file that torch.save wrote since version 1.6."""
    try:
        with path.open("rb") as file, zipfile.ZipFile(file) as archive:
            return _from_archive(archive, _mapped(file))
    except BROKEN_ZIP as error:
        raise _damaged(error) from error


def read_legacy(path: Path) -> Pickled:
    """The contents of a file that torch.save wrote before version 1.6."""
    with path.open("rb") as file:
        mapped = _mapped(file)
    declared: dict[str, tuple[int, int]] = {}
    machine = Machine(lambda identity: _legacy_storage(identity, declared))
    if machine.run(mapped) != LEGACY_MAGIC or machine.run(mapped) != LEGACY_PROTOCOL:
        raise CheckpointError("this pickle holds no weights", expected="a file written by torch.save")
    machine.run(mapped)  # byte order and sizes of the writing system
    tree = machine.run(mapped)
    keys = machine.run(mapped)
    try:
        runs = _legacy_runs(mapped, keys, declared)
    except BROKEN_LEGACY as error:
        raise _damaged(error) from error
    return Pickled(tree, tuple(machine.names), Storages(mapped, runs))


def _from_archive(archive: zipfile.ZipFile, mapped: mmap.mmap) -> Pickled:
    records = {info.filename: info for info in archive.infolist()}
    _refuse_other_kinds(records)
    _refuse_bombs(records, len(mapped))
    roots = [name.removesuffix("data.pkl") for name in records if name.split("/")[1:] == ["data.pkl"]]
    if len(roots) != 1:
        raise CheckpointError("this zip file holds no weights", expected="a file written by torch.save")
    root = roots[0]
    if f"{root}constants.pkl" in records:
        raise CheckpointError(
            "this file holds a TorchScript program, not weights alone",
            do="ask for the checkpoint it was made from",
        )
    if f"{root}byteorder" in records and archive.read(f"{root}byteorder") == b"big":
        raise CheckpointError("the numbers in this file are stored big end first, which we do not read")

    prefix = f"{root}data/"
    runs = {
        name.removeprefix(prefix): _record(info, mapped)
        for name, info in records.items()
        if name.startswith(prefix)
    }
    machine = Machine(zip_storage)
    tree = machine.run(io.BytesIO(archive.read(f"{root}data.pkl")))
    return Pickled(tree, tuple(machine.names), Storages(mapped, runs))


def _refuse_other_kinds(records: dict[str, zipfile.ZipInfo]) -> None:
    for name, info in records.items():
        if info.flag_bits & ENCRYPTED or info.compress_type not in READABLE:
            raise CheckpointError(
                "this zip file is encrypted, or compressed in a way that torch.load does not read, either",
                expected="records as torch.save writes them, or deflated ones",
                found=f"{ascii(name)[1:-1][:60]} of type {info.compress_type}, flags {info.flag_bits:#x}",
                do="copy or download it again",
            )


def _refuse_bombs(records: dict[str, zipfile.ZipInfo], n_bytes: int) -> None:
    inflated = sum(info.file_size for info in records.values() if info.compress_type != zipfile.ZIP_STORED)
    largest = max((info.file_size for name, info in records.items() if name.endswith(".pkl")), default=0)
    if inflated > n_bytes * MAX_INFLATION + FREE_INFLATION_BYTES or largest > MAX_PICKLE_BYTES:
        raise CheckpointError(
            "this zip file would unpack to far more than it is",
            expected=f"about {n_bytes} bytes",
            found=f"{max(inflated, largest)}",
        )


def _record(info: zipfile.ZipInfo, mapped: mmap.mmap) -> Run:
    signature, n_name, n_extra = struct.unpack_from("<4s22xHH", mapped, info.header_offset)
    if signature != b"PK\x03\x04":
        raise zipfile.BadZipFile(f"no record at {info.header_offset}")
    begins = info.header_offset + 30 + n_name + n_extra
    is_packed = info.compress_type != zipfile.ZIP_STORED
    return Run(begins, info.file_size, info.compress_size if is_packed else None, info.CRC)


def zip_storage(identity: Any) -> Storage:
    """The storage that torch's persistent id in a zip file names."""
    kind, storage_type, key, _location, n_items = identity
    if kind != "storage" or not isinstance(key, str) or type(n_items) is not int or n_items < 0:
        raise ValueError("a persistent id that is no storage")
    dtype = STORAGES[storage_type.name]
    return Storage(key, dtype, n_items * (dtype.itemsize if dtype else 1))


def _legacy_storage(identity: Any, declared: dict[str, tuple[int, int]]) -> Storage | Note:
    """A storage or a part of one; `declared` keeps how long each whole one is, and its items."""
    if isinstance(identity, tuple) and identity and identity[0] == "module":
        name = identity[1].name  # a class that came with its source code
        return Note(f"class {name}")
    kind, storage_type, key, _location, n_items, part = identity
    dtype = STORAGES[storage_type.name]
    size = dtype.itemsize if dtype else 1
    if kind != "storage" or not isinstance(key, str) or type(n_items) is not int or n_items < 0:
        raise ValueError("a persistent id that is no storage")
    if declared.setdefault(key, (n_items, size)) != (n_items, size):
        raise ValueError(f"storage {key[:40]!r} is declared twice")
    if part is None:
        return Storage(key, dtype, n_items * size)
    _, first, n_part = part
    if type(first) is not int or type(n_part) is not int or first < 0 or not 0 <= n_part <= n_items - first:
        raise ValueError("a part beyond its storage")
    return Storage(key, dtype, n_part * size, first * size)


def _legacy_runs(mapped: mmap.mmap, keys: Any, declared: dict[str, tuple[int, int]]) -> dict[str, Run]:
    runs = {}
    at = mapped.tell()
    for key in keys:
        if not isinstance(key, str):  # hashing a deeply nested tuple would end the process
            raise TypeError("the key of a storage is no text")
        n_items, size = declared[key]
        (n_stored,) = struct.unpack_from("<q", mapped, at)
        if n_stored != n_items or at + 8 + n_items * size > len(mapped):
            raise ValueError(
                f"storage {key[:40]!r} of {n_items} items ends beyond the file, or has {n_stored}"
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

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
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

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
NO_BYTES = torch.empty(0, dtype=torch.uint8)

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
class Pickled:
    """The value in a file with tensors as `Stored`, the names it refers to, and how to read a tensor."""

    tree: Any
    names: tuple[str, ...]
    tensor: Callable[[Stored], Tensor]


class Storages:
    """The runs of bytes that a pickle declares, and tensors over them."""

    def __init__(self, runs: Mapping[str, Tensor]) -> None:
        self._runs = runs  # the bytes of each storage by its key

    def tensor(self, stored: Stored) -> Tensor:
        """The tensor; those that share a storage in the file share it here."""
        storage = stored.storage
        raw = self._runs.get(storage.key, NO_BYTES)[storage.offset_bytes :][: storage.n_bytes]
        if raw.numel() < storage.n_bytes:
            raise CheckpointError(
                "the file is damaged or cut short",
                expected=f"{storage.n_bytes} bytes in storage {storage.key[:40]!r}",
                found=f"{raw.numel()}",
                do="copy or download it again",
            )
        if 0 in stored.shape:
            return torch.empty(stored.shape, dtype=stored.dtype)
        items = raw[: raw.numel() // stored.dtype.itemsize * stored.dtype.itemsize].view(stored.dtype)
        return _flagged(items[stored.offset :].as_strided(stored.shape, stored.stride), stored)


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
        places = _legacy_places(mapped, keys, declared)
    except BROKEN_LEGACY as error:
        raise _damaged(error) from error
    runs = {key: _bytes_at(mapped, *place) for key, place in places.items()}
    return Pickled(tree, tuple(machine.names), Storages(runs).tensor)


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
        name.removeprefix(prefix): _record_bytes(archive, info, mapped)
        for name, info in records.items()
        if name.startswith(prefix)
    }
    machine = Machine(zip_storage)
    tree = machine.run(io.BytesIO(archive.read(f"{root}data.pkl")))
    return Pickled(tree, tuple(machine.names), Storages(runs).tensor)


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


def _record_bytes(archive: zipfile.ZipFile, info: zipfile.ZipInfo, mapped: mmap.mmap) -> Tensor:
    if info.compress_type != zipfile.ZIP_STORED:
        return torch.frombuffer(bytearray(archive.read(info)) or bytearray(1), dtype=torch.uint8)
    signature, n_name, n_extra = struct.unpack_from("<4s22xHH", mapped, info.header_offset)
    if signature != b"PK\x03\x04":
        raise zipfile.BadZipFile(f"no record at {info.header_offset}")
    return _bytes_at(mapped, info.header_offset + 30 + n_name + n_extra, info.file_size)


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


def _legacy_places(
    mapped: mmap.mmap, keys: Any, declared: dict[str, tuple[int, int]]
) -> dict[str, tuple[int, int]]:
    """Where each storage begins and how many bytes it has."""
    places = {}
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
        places[key] = (at + 8, n_items * size)
        at += 8 + n_items * size
    return places


def _mapped(file: BinaryIO) -> mmap.mmap:
    # A private copy: torch wants writable memory; the file itself is never changed.
    return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)


def _bytes_at(mapped: mmap.mmap, at: int, n_bytes: int) -> Tensor:
    n_there = min(n_bytes, len(mapped) - at)
    if n_there <= 0:
        return NO_BYTES
    raw = torch.frombuffer(mapped, dtype=torch.uint8, count=n_there, offset=at)
    return raw.clone() if raw.data_ptr() % ALIGNMENT_BYTES else raw  # legacy files align nothing


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

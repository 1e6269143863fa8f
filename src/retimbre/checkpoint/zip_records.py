"""The records of a zip file: where each one's bytes lie. Nothing is unpacked and no name becomes a path.

The list at the end of the file is read, and the head before each record must agree with it: names, kind and
sizes. Records may not share bytes, or a page could stand for terabytes.
"""

import re
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from mmap import mmap
from typing import BinaryIO

from retimbre.errors import CheckpointError

MAX_RECORDS = 100_000  # ten times what a large model with its optimiser has
MAX_TAIL_BYTES = 22 + 65_535  # the end of the list, and a comment behind it
STORED, DEFLATED = 0, 8  # what torch.load reads, too
ENCRYPTED, SIZES_BEHIND, UTF8 = 0x1, 0x8, 0x800  # flags of a record
NO_CHECKSUM = 0  # torch can be told to compute none
IN_64_BITS = 0xFFFFFFFF  # stands for a number that is written elsewhere
LEADS_OUT = re.compile(r"^/|^[A-Za-z]:|\\|(^|/)\.\.(/|$)")  # for Windows, too

END = struct.Struct("<4s4H2IH")
LOCATOR_64 = struct.Struct("<4sIQI")
END_64 = struct.Struct("<4sQ2H2I4Q")
ENTRY = struct.Struct("<4s6H3I5H2I")
HEAD = struct.Struct("<4s5H3I2H")


class BrokenZip(ValueError):
    """What stands in the file is no zip file, or not a whole one."""


@dataclass(frozen=True)
class Record:
    """A record and where its bytes lie: `n_packed` from `at` on, which are `n_bytes` when unpacked."""

    name: str
    is_packed: bool
    at: int
    n_packed: int
    n_bytes: int
    checksum: int

    def unpacked(self, mapped: mmap) -> bytearray | memoryview:
        """Its bytes: never more than it declares; a copy only where they are packed."""
        packed = memoryview(mapped)[self.at : self.at + self.n_packed]
        try:
            raw = _inflated(packed, self.n_bytes) if self.is_packed else packed
        except zlib.error as error:
            raise BrokenZip(str(error)) from error
        if len(raw) != self.n_bytes or self.checksum not in (NO_CHECKSUM, zlib.crc32(raw)):
            raise BrokenZip(f"record {ascii(self.name)[:60]} is not what its length and checksum say")
        return raw


def _inflated(packed: memoryview, n_bytes: int) -> bytearray:
    return bytearray(zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, max(n_bytes, 1)))


@dataclass(frozen=True)
class _Entry:
    """A line of the list at the end of the file."""

    raw_name: bytes
    name: str
    flags: int
    method: int
    checksum: int
    n_packed: int
    n_bytes: int
    head_at: int


def records_of(file: BinaryIO, mapped: mmap) -> dict[str, Record]:
    """The records by name, in the order of the list.

    Their heads are read from the file: each look into the mapping would bring in a part of the weights.

    Raises:
        BrokenZip: for damage, and for what contradicts itself.
        CheckpointError: for a zip file of a kind that torch.save never writes.
    """
    try:
        list_at, n_entries, n_list = _list_place(mapped)
        entries = _entries(mapped, list_at, n_entries, list_at + n_list)
        records = {entry.name: _record(file, entry) for entry in entries}
    except (struct.error, UnicodeDecodeError) as error:
        raise BrokenZip(str(error)) from error
    if len(records) != n_entries:
        raise BrokenZip("two records of one name")
    _refuse_overlaps(entries, records, list_at)
    return records


def _list_place(mapped: mmap) -> tuple[int, int, int]:
    """Where the list of records begins, how many there are, and its length in bytes."""
    at = mapped.rfind(b"PK\x05\x06", max(0, len(mapped) - MAX_TAIL_BYTES))
    if at < 0:
        raise BrokenZip("the list of records at the end is missing")
    _, _, _, _, n_entries, n_list, list_at, _ = END.unpack_from(mapped, at)
    if at >= LOCATOR_64.size and mapped[at - LOCATOR_64.size : at].startswith(b"PK\x06\x07"):
        _, _, at, _ = LOCATOR_64.unpack_from(mapped, at - LOCATOR_64.size)
        if at > len(mapped):
            raise BrokenZip("the end of the list is said to be behind the end of the file")
        signature, *_, n_entries, n_list, list_at = END_64.unpack_from(mapped, at)
        if signature != b"PK\x06\x06":
            raise BrokenZip("the end of the list is not where it is said to be")
    if n_entries > MAX_RECORDS:
        raise BrokenZip(f"{n_entries} records, more than any model has")
    if list_at + n_list > at:
        raise BrokenZip("the list of records lies behind its own end")
    return list_at, n_entries, n_list


def _entries(mapped: mmap, at: int, n_entries: int, end: int) -> list[_Entry]:
    entries = []
    for _ in range(n_entries):
        fields = ENTRY.unpack_from(mapped, at)
        signature, _, _, flags, method, _, _, checksum, n_packed, n_bytes, *lengths = fields[:13]
        n_name, n_extra, n_comment = lengths
        if signature != b"PK\x01\x02":
            raise BrokenZip(f"no record is listed at {at}")
        name_at = at + ENTRY.size
        raw_name = mapped[name_at : name_at + n_name]
        extra = mapped[name_at + n_name : name_at + n_name + n_extra]
        at = name_at + n_name + n_extra + n_comment
        n_bytes, n_packed, head_at = _in_64_bits(extra, n_bytes, n_packed, fields[-1])
        if head_at + n_packed > len(mapped):
            raise BrokenZip("a record is said to be behind the end of the file")
        name = raw_name.decode("utf-8" if flags & UTF8 else "latin-1")
        entries.append(_Entry(raw_name, name, flags, method, checksum, n_packed, n_bytes, head_at))
        _refuse_other_kinds(entries[-1])
    if at > end:
        raise BrokenZip("the list of records is longer than it says")
    return entries


def _in_64_bits(extra: bytes, *numbers: int) -> list[int]:
    """The numbers, with those that did not fit into 32 bits from the field that holds them."""
    at, found = 0, []
    while at + 4 <= len(extra):
        kind, n_bytes = struct.unpack_from("<2H", extra, at)
        if kind == 1:
            found = [number for (number,) in struct.iter_unpack("<Q", extra[at + 4 :][: n_bytes // 8 * 8])]
        at += 4 + n_bytes
    taken = iter(found)
    wide = [next(taken, -1) if number == IN_64_BITS else number for number in numbers]
    if min(wide) < 0 or max(wide) >= 1 << 63:
        raise BrokenZip("a number of a record is missing, or beyond any file")
    return wide


def _refuse_other_kinds(entry: _Entry) -> None:
    shown = ascii(entry.name)[1:-1][:60]
    if entry.flags & ENCRYPTED or entry.method not in (STORED, DEFLATED):
        raise CheckpointError(
            "this zip file is encrypted, or compressed in a way that torch.load does not read, either",
            expected="records as torch.save writes them, or deflated ones",
            found=f"{shown} of type {entry.method}, flags {entry.flags:#x}",
            do="copy or download it again",
        )
    if LEADS_OUT.search(entry.name) or not entry.name.isprintable():
        raise CheckpointError("a record of this zip file would be unpacked outside its folder", found=shown)


def _record(file: BinaryIO, entry: _Entry) -> Record:
    file.seek(entry.head_at)
    head = HEAD.unpack(file.read(HEAD.size))
    signature, _, flags, method, _, _, checksum, n_packed, n_bytes, n_name, n_extra = head
    if signature != b"PK\x03\x04" or file.read(n_name) != entry.raw_name:
        raise BrokenZip(f"no record {ascii(entry.name)[:60]} at {entry.head_at}")
    extra = file.read(n_extra)
    listed = [entry.n_bytes, entry.n_packed, entry.checksum]
    # With this flag the numbers stand behind the bytes, as torch writes it, and the list alone counts.
    here = listed if flags & SIZES_BEHIND else [*_in_64_bits(extra, n_bytes, n_packed), checksum]
    if method != entry.method or here != listed:
        raise BrokenZip(f"record {ascii(entry.name)[:60]} and the list of records differ")
    if entry.method == STORED and entry.n_packed != entry.n_bytes:
        raise BrokenZip(f"record {ascii(entry.name)[:60]} has two lengths")
    at = entry.head_at + HEAD.size + n_name + n_extra
    if flags & SIZES_BEHIND and not _is_followed(file, at + entry.n_packed, entry.checksum):
        raise BrokenZip(f"record {ascii(entry.name)[:60]} does not end where it is said to")
    return Record(entry.name, entry.method != STORED, at, entry.n_packed, entry.n_bytes, entry.checksum)


def _is_followed(file: BinaryIO, at: int, checksum: int) -> bool:
    """Does the checksum stand behind the record? Without this look a head could shift its bytes unnoticed."""
    file.seek(at)
    found, raw = file.read(8), struct.pack("<I", checksum)
    return found == b"PK\x07\x08" + raw or bool(checksum and found[:4] == raw)


def _refuse_overlaps(entries: list[_Entry], records: Mapping[str, Record], list_at: int) -> None:
    spans = sorted((entry.head_at, records[entry.name].at + entry.n_packed) for entry in entries)
    for (_, ends), (begins, _) in pairwise([*spans, (list_at, list_at)]):
        if begins < ends:
            raise BrokenZip("records share bytes, or reach beyond their list")

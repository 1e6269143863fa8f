"""Damage of a checkpoint's container is told as damage, whatever the reader of zip files makes of it."""

import pickle
import random
import struct
import zipfile

import pytest
import torch

from retimbre.checkpoint.read import read
from retimbre.errors import CheckpointError

ENTRY = b"PK\x01\x02"  # begins a record's line in the list of records at the end of the file
# Where its fields are, and how they are packed.
VERSION, FLAGS, METHOD, CHECKSUM, PACKED, SIZE = (
    (6, "<H"),
    (8, "<H"),
    (10, "<H"),
    (16, "<I"),
    (20, "<I"),
    (24, "<I"),
)
OFFSET = (42, "<I")


@pytest.fixture
def packed(tmp_path):
    """A checkpoint in a zip file of one kind of compression, as bytes: packed(zipfile.ZIP_DEFLATED)."""

    def pack(kind):
        torch.manual_seed(4)
        torch.save({"state_dict": {"w": torch.randn(5, 7), "b": torch.randn(3)}, "n": 1}, tmp_path / "a.pt")
        with zipfile.ZipFile(tmp_path / "a.pt") as old, zipfile.ZipFile(tmp_path / "b.pt", "w", kind) as new:
            for name in old.namelist():
                new.writestr(name, old.read(name))
        return bytearray((tmp_path / "b.pt").read_bytes())

    return pack


def entry_of(content, name):
    """Where the line of a record begins in the list of records."""
    places = [at for at in range(len(content)) if content[at : at + 4] == ENTRY]
    return next(at for at in places if content[at + 46 :].startswith(name))


def put(content, name, field, value):
    struct.pack_into(field[1], content, entry_of(content, name) + field[0], value)


def put_twice(content, name, field, value):
    """In the list, and in the head before the record: there each field stands two bytes earlier."""
    put(content, name, field, value)
    (head,) = struct.unpack_from("<I", content, entry_of(content, name) + OFFSET[0])
    struct.pack_into(field[1], content, head + field[0] - 2, value)


def far_beyond(content):
    """The record stands at a place of 64 bits, as in a file of more than 4 GB."""
    at = entry_of(content, b"a/data/0")
    put(content, b"a/data/0", OFFSET, 0xFFFFFFFF)
    struct.pack_into("<H", content, at + 30, 12)
    end = content.rindex(b"PK\x05\x06")
    struct.pack_into("<I", content, end + 12, struct.unpack_from("<I", content, end + 12)[0] + 12)
    content[at + 46 + 8 : at + 46 + 8] = struct.pack("<HHQ", 1, 8, 1 << 63)


def badly_packed(content):
    with_list = entry_of(content, b"a/data.pkl")
    (at,) = struct.unpack_from("<I", content, with_list + OFFSET[0])
    content[at + 50 : at + 60] = bytes(10 * [0xFF])


def not_utf8(content):
    put(content, b"a/data/0", FLAGS, 0x800)
    content[entry_of(content, b"a/data/0") + 46] = 0xFF


def too_long(content):
    for field in (PACKED, SIZE):
        put_twice(content, b"a/data.pkl", field, len(content) - 100)


def without_list(content):
    del content[content.rindex(b"PK\x05\x06") :]


def longer_list(content):
    end = content.rindex(b"PK\x05\x06")
    struct.pack_into("<I", content, end + 12, 1 << 20)


DAMAGE = {  # what is said of it -> in which kind of file, and the damage
    "is not what its length and checksum say": (
        zipfile.ZIP_STORED,
        lambda content: put_twice(content, b"a/data.pkl", CHECKSUM, 7),
    ),
    "and the list of records differ": (
        zipfile.ZIP_DEFLATED,
        lambda content: put(content, b"a/data.pkl", SIZE, 7),
    ),
    "has two lengths": (zipfile.ZIP_STORED, lambda content: put_twice(content, b"a/data.pkl", SIZE, 7)),
    "records share bytes": (zipfile.ZIP_STORED, too_long),
    "behind the end of the file": (
        zipfile.ZIP_STORED,
        lambda content: put(content, b"a/data/0", OFFSET, 1 << 31),
    ),
    "no record .a/data/0. at 0": (zipfile.ZIP_STORED, lambda content: put(content, b"a/data/0", OFFSET, 0)),
    "Error -3": (zipfile.ZIP_DEFLATED, badly_packed),
    "codec can't decode": (zipfile.ZIP_STORED, not_utf8),
    "beyond any file": (zipfile.ZIP_STORED, far_beyond),
    "list of records at the end is missing": (zipfile.ZIP_STORED, without_list),
    "behind its own end": (zipfile.ZIP_STORED, longer_list),
}


@pytest.mark.parametrize("found", DAMAGE)
def test_every_way_in_which_a_zip_file_breaks_is_damage(packed, tmp_path, found):
    kind, damage = DAMAGE[found]
    content = packed(kind)
    damage(content)
    (tmp_path / "broken.pt").write_bytes(content)

    with pytest.raises(CheckpointError, match=f"damaged or cut short.*{found}"):
        read(tmp_path / "broken.pt")


def test_random_damage_of_any_part_never_ends_in_a_traceback(packed, tmp_path):
    whole, draw = packed(zipfile.ZIP_STORED), random.Random(5)
    entries = [at for at in range(len(whole)) if whole[at : at + 4] == ENTRY]
    n_refused = 0
    for _ in range(250):
        broken = bytearray(whole)
        for _ in range(draw.randint(1, 3)):
            # Half of it in the list of records, whose few bytes decide how all others are read.
            place = (
                draw.choice(entries) + draw.randrange(46)
                if draw.random() < 0.5
                else draw.randrange(len(whole))
            )
            broken[place] = draw.choice((0, 1, 255, draw.randrange(256)))
        (tmp_path / "broken.pt").write_bytes(broken)
        try:
            read(tmp_path / "broken.pt")
        except CheckpointError:
            n_refused += 1
    assert n_refused > 50


@pytest.mark.parametrize(
    ("field", "value"), [(FLAGS, 1), (METHOD, zipfile.ZIP_BZIP2), (METHOD, zipfile.ZIP_LZMA)]
)
def test_what_torch_would_not_read_from_a_zip_file_is_refused(packed, tmp_path, field, value):
    content = packed(zipfile.ZIP_STORED)
    put(content, b"a/data/0", field, value)
    (tmp_path / "other.pt").write_bytes(content)

    with pytest.raises(CheckpointError, match="encrypted, or compressed in a way.*a/data/0"):
        read(tmp_path / "other.pt")


def test_a_head_that_shifts_the_bytes_of_a_tensor_is_damage(tmp_path):
    torch.save({"w": torch.randn(40)}, tmp_path / "a.pt")
    content = bytearray((tmp_path / "a.pt").read_bytes())
    with zipfile.ZipFile(tmp_path / "a.pt") as archive:
        head = archive.getinfo("a/data/0").header_offset
    struct.pack_into("<H", content, head + 28, struct.unpack_from("<H", content, head + 28)[0] - 4)
    (tmp_path / "a.pt").write_bytes(content)

    with pytest.raises(CheckpointError, match="does not end where it is said to"):
        read(tmp_path / "a.pt")


def test_a_file_without_checksums_is_read(tmp_path):
    weight = torch.randn(5)
    torch.serialization.set_crc32_options(False)
    try:
        torch.save({"w": weight}, tmp_path / "a.pt")
    finally:
        torch.serialization.set_crc32_options(True)
    assert torch.equal(read(tmp_path / "a.pt").tensors["w"], weight)


LEGACY_DAMAGE = {  # of the keys of the storages, and of what follows: a count of 8 bytes and the numbers
    "TypeError": lambda keys, rest: (pickle.dumps([["0"]], protocol=2), rest),
    "KeyError": lambda keys, rest: (pickle.dumps(["none"], protocol=2), rest),
    "ValueError": lambda keys, rest: (keys, struct.pack("<q", 4) + rest[8:]),
    "error: unpack requires": lambda keys, rest: (keys, rest[:5]),
}


@pytest.mark.parametrize("found", LEGACY_DAMAGE)
def test_every_way_in_which_a_legacy_file_breaks_is_damage(tmp_path, found):
    path = tmp_path / "legacy.pt"
    torch.save({"w": torch.randn(3)}, path, _use_new_zipfile_serialization=False)
    content = path.read_bytes()
    keys_at, rest_at = content.rindex(b"\x80\x02"), len(content) - 8 - 3 * 4
    keys, rest = LEGACY_DAMAGE[found](content[keys_at:rest_at], content[rest_at:])
    path.write_bytes(content[:keys_at] + keys + rest)

    with pytest.raises(CheckpointError, match=f"damaged or cut short.*{found}"):
        read(path)

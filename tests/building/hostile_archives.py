"""Zip files that lie: names, lengths, places and kinds of records; and archives that are no checkpoints."""

import io
import pickle
import struct
import tarfile
import zipfile
import zlib

import torch

END = struct.Struct("<4s4H2IH")
ENTRY = struct.Struct("<4s6H3I5H2I")
HEAD = struct.Struct("<4s5H3I2H")
EMPTY = pickle.dumps({"a": 1}, protocol=2)


def record(name, raw, *, method=0, n_bytes=None, checksum=None, flags=0):
    """Head and bytes of a record, and its line in the list without its place."""
    packed = zlib.compressobj(9, zlib.DEFLATED, -15)
    body = packed.compress(raw) + packed.flush() if method == 8 else raw
    n_bytes = len(raw) if n_bytes is None else n_bytes
    checksum = zlib.crc32(raw) if checksum is None else checksum
    head = HEAD.pack(b"PK\x03\x04", 20, flags, method, 0, 0, checksum, len(body), n_bytes, len(name), 0)
    return head + name + body, (name, flags, method, checksum, len(body), n_bytes)


def listed(entries, *, at, n_entries=None, n_list=None):
    """The list at the end of the file; entries are (line, place of the record)."""
    lines = b"".join(
        ENTRY.pack(b"PK\x01\x02", 20, 20, flags, method, 0, 0, checksum, n_packed, n_bytes, len(name), 0, 0,
            0, 0, 0, place)
        + name
        for (name, flags, method, checksum, n_packed, n_bytes), place in entries
    )  # fmt: skip
    count = len(entries) if n_entries is None else n_entries
    length = len(lines) if n_list is None else n_list
    return lines + END.pack(b"PK\x05\x06", 0, 0, min(count, 65535), min(count, 65535), length, at, 0)


def archive(*records, **lies):
    """A whole file of records made by `record`."""
    content, entries = b"", []
    for raw, line in records:
        entries.append((line, len(content)))
        content += raw
    return content + listed(entries, at=len(content), **lies)


def with_names(*names, content=EMPTY):
    return archive(*[record(name, content if name.endswith(b"data.pkl") else b"x") for name in names])


def saved(*, legacy=False, **more):
    """A good file."""
    torch.manual_seed(3)
    buffer = io.BytesIO()
    tensors = {"w": torch.randn(5, 3), "b": torch.randn(7)} | more
    torch.save({"state_dict": tensors}, buffer, _use_new_zipfile_serialization=not legacy)
    return buffer.getvalue()


def changed(content, at, raw):
    return content[:at] + raw + content[at + len(raw) :]


def lying_list(field, value, *, name=b"archive/data/0"):
    """A good file with one number of the list changed; fields as in ENTRY."""
    content = saved()
    at = content.index(name, content.index(b"PK\x01\x02")) - ENTRY.size
    fields = list(ENTRY.unpack_from(content, at))
    fields[field] = value
    return changed(content, at, ENTRY.pack(*fields))


def lying_end(field, value):
    content = saved()
    at = content.rindex(b"PK\x05\x06")
    fields = list(END.unpack_from(content, at))
    fields[field] = value
    # Without the numbers of 64 bits, which torch writes too, these count.
    at_64 = content.rindex(b"PK\x06\x07")
    return changed(changed(content, at, END.pack(*fields)), at_64, b"XXXX")


def lying_end_64(place, value):
    content = saved()
    return changed(content, content.rindex(b"PK\x06\x06") + place, struct.pack("<Q", value))


def overlapping():
    """Each record holds the head and the bytes of the next: one run of zeros stands for all of them."""
    content, entries = b"", []
    for number in reversed(range(200)):
        raw, line = record(b"made/data/%d" % number, content if content else bytes(100_000))
        entries.append((line, -len(raw)))
        content = raw
    first, line = record(b"made/data.pkl", EMPTY)
    return first + content + listed(
        [(line, 0), *[(each, len(first) + len(content) + place) for each, place in entries]],
            at=len(first + content)
    )  # fmt: skip


def one_body(n_entries):
    """Thousands of lines of the list lead to one record."""
    first, line = record(b"made/data.pkl", EMPTY)
    raw, body = record(b"made/data/0", bytes(1_000_000), method=8)
    entries = [((b"made/data/%d" % n, *body[1:]), len(first)) for n in range(n_entries)]
    return first + raw + listed([(line, 0), *entries], at=len(first + raw))


def many_records(n_records):
    return archive(
        record(b"made/data.pkl", EMPTY), *[record(b"made/data/%d" % n, b"") for n in range(n_records)]
    )


def inflating(n_megabytes, *, declared):
    """A compressed pickle of lists that is said to have another length."""
    packed = zlib.compressobj(9, zlib.DEFLATED, -15)
    megabyte = packed.compress(b"]" * 1_000_000) + packed.flush(zlib.Z_FULL_FLUSH)  # can be repeated as it is
    body = megabyte * n_megabytes + packed.flush()
    line = (b"made/data.pkl", 0, 8, 0, len(body), declared)
    head = HEAD.pack(b"PK\x03\x04", 20, 0, 8, 0, 0, 0, len(body), declared, len(line[0]), 0)
    return head + line[0] + body + listed([(line, 0)], at=len(head + line[0] + body))


def in_python(kind, *, encrypted=False):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", kind) as made:
        made.writestr("made/data.pkl", EMPTY)
        made.writestr("made/data/0", bytes(100))
    content = buffer.getvalue()
    return changed(content, content.index(b"PK\x01\x02") + 8, b"\x01\x00") if encrypted else content


def with_symlink():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        made.writestr("made/data.pkl", EMPTY)
        link = zipfile.ZipInfo("made/link")
        link.external_attr = 0o120777 << 16
        made.writestr(link, "/etc/passwd")
    return buffer.getvalue()


def in_tar(content):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as made:
        info = tarfile.TarInfo("../../made/data.pkl")
        info.size = len(content)
        made.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def names():
    """Records that would be unpacked somewhere else, and records of one name."""
    outside = (
        b"../../x", b"/etc/passwd", b"..\\..\\x", b"C:\\x", b"C:x", b"\\\\host\\share\\x", b"made/../../x",
            b"..",
        b"made/x\x00.txt", b"made/\x1b[2J", b"made/x\ny",
    )  # fmt: skip
    made = {
        f"a record called {ascii(name)}": (with_names(b"made/data.pkl", name), "refused") for name in outside
    }
    return made | {
        "a pickle outside its folder": (with_names(b"../data.pkl"), "refused"),
        "two pickles of one name": (with_names(b"made/data.pkl", b"made/data.pkl"), "refused"),
        "two storages of one name": (
            with_names(b"made/data.pkl", b"made/data/0", b"made/data/0"), "refused",
        ),
        "two pickles in two folders": (with_names(b"made/data.pkl", b"other/data.pkl"), "refused"),
        "names that differ by their case": (
            with_names(b"made/data.pkl", b"made/DATA.PKL", b"Made/data/0"), "opens",
        ),
        "a symbolic link": (with_symlink(), "opens"),
        "no pickle": (with_names(b"made/data/0"), "refused"),
        "a pickle at the top": (with_names(b"data.pkl"), "refused"),
        "a TorchScript program": (with_names(b"made/data.pkl", b"made/constants.pkl", b"made/code/x.py"),
        "refused"),
        "arrays of numpy": (with_names(b"a.npy", b"b.npy"), "refused"),
        "a zip in a zip": (with_names(b"made/data.pkl", content=saved()), "refused"),
        "a checkpoint as a record": (archive(record(b"made/data.pkl", EMPTY), record(b"made/x.pt",
        saved())), "opens"),
        "a tar archive as the pickle": (with_names(b"made/data.pkl", content=in_tar(EMPTY)), "refused"),
    }  # fmt: skip


def structures():
    """Lengths, places and counts that are not true, and bombs."""
    good, legacy = saved(), saved(legacy=True)
    second = good.index(b"PK\x03\x04", 4)
    return {
        "a record in the place of another": (lying_list(-1, 0), "refused"),
        "a record in the middle of another": (lying_list(-1, 70), "refused"),
        "a record behind the end": (lying_list(-1, 1 << 31), "refused"),
        "a record of four gigabytes": (lying_list(8, (1 << 32) - 2), "refused"),
        "a storage that is longer in the list": (lying_list(9, 1 << 30), "refused"),
        "a storage of no bytes": (lying_list(9, 0), "refused"),
        "a number of 64 bits that is missing": (lying_list(9, 0xFFFFFFFF), "refused"),
        "another checksum of the pickle": (lying_list(7, 7, name=b"archive/data.pkl"), "refused"),
        "no checksum of the pickle": (lying_list(7, 0, name=b"archive/data.pkl"), "refused"),
        "an encrypted record": (in_python(zipfile.ZIP_STORED, encrypted=True), "refused"),
        "a record by bzip2": (in_python(zipfile.ZIP_BZIP2), "refused"),
        "a record by lzma": (in_python(zipfile.ZIP_LZMA), "refused"),
        "a record of an unknown kind": (lying_list(4, 99), "refused"),
        "a list of no records": (lying_end(4, 0), "refused"),
        "a list of 65,535 records": (lying_end(4, 65_535), "refused"),
        "a list of four gigabytes": (lying_end(5, 0xFFFFFFF0), "refused"),
        "a list behind the end": (lying_end(6, 0xFFFFFFF0), "refused"),
        "a list of exabytes": (lying_end_64(40, 1 << 63), "refused"),
        "a list at exabytes": (lying_end_64(48, (1 << 64) - 1), "refused"),
        "exabytes of records": (lying_end_64(32, (1 << 64) - 1), "refused"),
        "the end of the list at exabytes": (
            changed(good, good.rindex(b"PK\x06\x07") + 8, struct.pack("<Q", 1 << 63)), "refused",
        ),
        "records that hold each other": (overlapping(), "refused"),
        "one record under 5,000 names": (one_body(5_000), "refused"),
        "30,000 empty records": (many_records(30_000), "opens"),
        "compressed zeros that are said to be few": (inflating(1_500, declared=20), "refused"),
        "compressed zeros that are said to be many": (inflating(1, declared=9_000_000), "refused"),
        "gigabytes, compressed": (inflating(3_000, declared=3_000_000_000), "refused"),
        "another file before the archive": (b"PK\x03\x04" + bytes(1000) + good, "refused"),
        "another list in the comment": (good[:-2] + b"\x16\x00" + END.pack(b"PK\x05\x06", 0, 0, 0, 0, 0, 0,
        0), "refused"),
        "a list without records": (b"PK\x03\x04" + listed([], at=4), "refused"),
        "only the beginning of an archive": (b"PK\x03\x04", "refused"),
        "an archive behind a legacy file": (legacy + good, "opens"),
        "an archive in a pickle": (b"\x80\x02" + good, "refused"),
        **{
            f"{kind} file, cut at {at}": (content[:at], "refused")
            for kind, content in (("zip", good), ("legacy", legacy))
            for at in sorted({
                1, 2, 4, 8, 9, 29, 30, 60, second, second + 30, len(content) // 2, len(content) - 60,
                len(content) - 22, len(content) - 21, len(content) - 4, len(content) - 1,
            })
        },
    }  # fmt: skip


def others():
    """What people take for a checkpoint."""
    return {
        "nothing": (b"", "refused"),
        "GGUF": (b"GGUF\x03\x00\x00\x00" + bytes(100), "refused"),
        "HDF5": (b"\x89HDF\r\n\x1a\n" + bytes(100), "refused"),
        "numpy": (b"\x93NUMPY\x01\x00v\x00{'descr': '|O', }" + bytes(100), "refused"),
        "gzip": (b"\x1f\x8b\x08\x00" + bytes(100), "refused"),
        "bzip2": (b"BZh91AY&SY" + bytes(100), "refused"),
        "xz": (b"\xfd7zXZ\x00" + bytes(100), "refused"),
        "7z": (b"7z\xbc\xaf'\x1c" + bytes(100), "refused"),
        "tar": (in_tar(saved()), "refused"),
        "ONNX": (b"\x08\x07\x12\x07pytorch" + bytes(100), "refused"),
        "a web page": (b"<!DOCTYPE html><title>not found</title>", "refused"),
        "a pointer of Git LFS": (b"version https://git-lfs.github.com/spec/v1\n", "refused"),
        "zeros": (bytes(10_000), "refused"),
        "text": (b"hello\n" * 100, "refused"),
    }


def files():
    """Name -> bytes of a file, and how it ends."""
    return names() | structures() | others()

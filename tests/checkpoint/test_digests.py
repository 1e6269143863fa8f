"""Hashes of files are remembered, and never those of a file that has changed."""

import hashlib
import json
import os
import time

import pytest

from retimbre.checkpoint import digests
from retimbre.checkpoint.digests import N_KEPT, Digests

HOUR_NS = 3_600_000_000_000


@pytest.fixture
def read(monkeypatch):
    """The files that were read to be hashed."""
    seen = []

    def counted(path):
        seen.append(path.name)
        return hashlib.sha256(path.read_bytes()).hexdigest()

    monkeypatch.setattr(digests, "sha256_of", counted)
    return seen


@pytest.fixture
def hour_later(monkeypatch):
    """Files that are written now are an hour old."""
    now = time.time_ns
    monkeypatch.setattr(digests.time, "time_ns", lambda: now() + HOUR_NS)


def file(tmp_path, name="a.pth", content=b"weights"):
    path = tmp_path / name
    path.write_bytes(content)
    return path


@pytest.mark.usefixtures("hour_later")
def test_a_file_is_read_once(tmp_path, read):
    path, record = file(tmp_path), tmp_path / "cache" / "hashes.json"
    known = Digests(record)

    expected = hashlib.sha256(b"weights").hexdigest()
    assert [known.of(path), known.of(path), Digests(record).of(path)] == [expected] * 3
    assert read == ["a.pth"]
    assert Digests().of(path) == expected
    assert len(read) == 2


@pytest.mark.usefixtures("hour_later")
def test_another_content_has_another_hash(tmp_path, read):
    """Also one of the same length, with the old time put back."""
    path, known = file(tmp_path), Digests(tmp_path / "hashes.json")
    known.of(path)
    before = path.stat()
    path.write_bytes(b"WEIGHTS")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    assert known.of(path) == hashlib.sha256(b"WEIGHTS").hexdigest()
    assert len(read) == 2


def test_a_file_that_was_written_just_now_is_not_remembered(tmp_path, read):
    path, known = file(tmp_path), Digests()
    known.of(path)
    known.of(path)
    assert len(read) == 2


@pytest.mark.usefixtures("hour_later")
@pytest.mark.parametrize(
    "content", ["", "[]", "{", '{"PATH": 3}', '{"PATH": [["1"], "x"]}', '{"PATH": [[1, 2, 3], "short"]}']
)
def test_a_damaged_record_is_replaced(tmp_path, read, content):
    path, record = file(tmp_path), tmp_path / "hashes.json"
    record.write_text(content.replace("PATH", str(path)))

    assert Digests(record).of(path) == hashlib.sha256(b"weights").hexdigest()
    assert len(json.loads(record.read_text())) == 1


@pytest.mark.usefixtures("hour_later")
def test_where_nothing_can_be_written_hashes_are_right_all_the_same(tmp_path):
    path = file(tmp_path)
    assert Digests(path / "hashes.json").of(path) == hashlib.sha256(b"weights").hexdigest()


@pytest.mark.usefixtures("hour_later")
def test_the_oldest_are_forgotten(tmp_path, monkeypatch, read):
    monkeypatch.setattr(digests, "N_KEPT", 3)
    assert N_KEPT > 100
    record, paths = tmp_path / "hashes.json", [file(tmp_path, f"{n}.pth") for n in range(4)]
    for path in paths:
        Digests(record).of(path)

    Digests(record).of(paths[3])
    assert len(read) == 4
    Digests(record).of(paths[0])
    assert len(read) == 5

"""Hostile files: nothing runs, none takes over 5 s or over 500 MB beyond its size, each ends in one line.

They are opened in a child process that hears what Python runs; what they ask for is a file `code-has-run`.
"""

from pathlib import Path

import pytest

from building import hostile_archives, hostile_bombs, hostile_calls, hostile_headers
from building.opening import Opener

MAX_CPU_S = 5.0
MAX_GROWN_BYTES = 500_000_000


@pytest.fixture
def flag(tmp_path):
    return tmp_path / "code-has-run"


@pytest.fixture(scope="module")
def opener():
    with Opener() as child:
        yield child


def written(folder, files):
    """Name -> path and ending, of files that are given as bytes."""
    for number, (name, (content, ends)) in enumerate(files.items()):
        path = folder / f"{number}.pt"
        path.write_bytes(content)
        yield name, path, ends
        path.unlink()


def faults_of(opener, path, ends):
    """Everything that a file did not keep to."""
    opened = opener.open(path)
    n_bytes = Path(path).stat().st_size if Path(path).is_file() else 0
    faults = []
    if opened.ending != ends:
        faults.append(f"{opened.ending}, expected {ends}: {opened.text}")
    if opened.cpu_s > MAX_CPU_S:
        faults.append(f"{opened.cpu_s:.1f} s")
    if opened.grown_bytes > n_bytes + MAX_GROWN_BYTES:
        faults.append(f"{opened.grown_bytes / 1e6:.0f} MB for {n_bytes / 1e6:.0f}")
    if opened.ending != "opens" and (not opened.text or "\n" in opened.text or len(opened.text) > 1000):
        faults.append(f"no line: {opened.text[:200]!r}")
    return [*faults, *opened.actions]


def judged(opener, flag, files):
    found = {name: faults_of(opener, path, ends) for name, path, ends in files}
    assert not flag.exists()
    assert {name: faults for name, faults in found.items() if faults} == {}
    return len(found)


def test_no_name_in_a_file_is_called(opener, tmp_path, flag):
    assert judged(opener, flag, written(tmp_path, hostile_calls.files(flag))) > 200


def test_no_page_stands_for_endless_values(opener, tmp_path, flag):
    assert judged(opener, flag, written(tmp_path, hostile_bombs.files())) > 100


def test_no_archive_lies_unnoticed(opener, tmp_path, flag):
    assert judged(opener, flag, written(tmp_path, hostile_archives.files())) > 80


def test_no_header_lies_unnoticed(opener, tmp_path, flag):
    assert judged(opener, flag, written(tmp_path, hostile_headers.headers())) > 40


def test_no_index_and_no_place_leads_elsewhere(opener, tmp_path, flag):
    found = hostile_headers.indices(tmp_path) | hostile_headers.places(tmp_path)
    assert judged(opener, flag, ((name, path, ends) for name, (path, ends) in found.items())) > 25

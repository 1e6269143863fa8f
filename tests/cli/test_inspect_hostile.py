"""A hostile file ends in one line on stderr and exit code 1, whatever is wrong with it."""

import sys

import pytest

from building import hostile_archives, hostile_bombs, hostile_calls, hostile_headers
from retimbre.cli import main

SAMPLE = (
    "os.system (zip)", "builtins.eval (legacy)", "getattr of an import (zip)",
    "a list that holds itself (zip)",
    "tuples in tuples (zip)", "a negative stride (legacy)", "huge sizes and a zero (zip)",
    "records that hold each other", "gigabytes, compressed", "a record called '../../x'",
    "zip file, cut at 60",
    "a header of exabytes", "one name twice", "tensors that overlap", "GGUF", "nothing",
)  # fmt: skip


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    flag = tmp_path_factory.mktemp("flag") / "code-has-run"
    known = [
        hostile_calls.files(flag),
        hostile_bombs.files(),
        hostile_archives.files(),
        hostile_headers.headers(),
    ]
    contents = {name.replace("b'", "'"): content for some in known for name, (content, _) in some.items()}
    yield {name: contents[name] for name in SAMPLE}
    assert not flag.exists()


@pytest.mark.parametrize("name", SAMPLE)
def test_a_hostile_file_ends_in_one_line(files, tmp_path, monkeypatch, capsys, name):
    (tmp_path / "a.pt").write_bytes(files[name])
    monkeypatch.setattr(sys, "argv", ["retimbre", "inspect", str(tmp_path / "a.pt")])
    with pytest.raises(SystemExit) as ended:
        main.run()
    told = capsys.readouterr()
    assert ended.value.code == 1
    assert told.out == ""
    assert told.err.startswith("error: ")
    assert told.err.count("\n") == 1
    assert "a.pt" in told.err

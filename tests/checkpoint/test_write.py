"""Files are replaced whole or not at all."""

import json
import os
import stat

import pytest
import torch

from retimbre.checkpoint.read import read, read_tensor
from retimbre.checkpoint.write import (
    owned,
    staged,
    write_json,
    write_safetensors,
    write_torch,
    write_torch_tensor,
)
from retimbre.errors import CheckpointError


def test_tensors_and_their_metadata_come_back(tmp_path):
    whole = torch.randn(5, 3)
    tensors = {"a": whole, "turned": whole.t(), "shared": whole[1:], "number": torch.tensor(7)}
    write_safetensors(tmp_path / "new" / "a.safetensors", tensors, {"made": "ünï"})
    contents = read(tmp_path / "new" / "a.safetensors")
    assert all(torch.equal(contents.tensors[name], tensor) for name, tensor in tensors.items())
    assert contents.metadata == {"made": "ünï"}


def test_a_tensor_can_be_read_by_torch_itself(tmp_path):
    spec = torch.randn(80, 11, requires_grad=True)
    write_torch_tensor(tmp_path / "spec.pt", spec.t())
    assert torch.equal(torch.load(tmp_path / "spec.pt", weights_only=True), spec.detach().t())
    assert torch.equal(read_tensor(tmp_path / "spec.pt"), spec.detach().t())


def test_json_is_readable_and_ends_with_a_line_end(tmp_path):
    write_json(tmp_path / "a.json", {"name": "José", "n": [1, 2]})
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert "José" in text
    assert text.endswith("}\n")
    assert json.loads(text) == {"name": "José", "n": [1, 2]}


def test_json_without_meaning_is_refused(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"loss": float("nan")})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("fails", ["fsync", "replace"])
def test_a_failure_leaves_the_old_file_and_no_rubbish(tmp_path, monkeypatch, fails):
    path = tmp_path / "a.safetensors"
    old = torch.randn(3)
    write_safetensors(path, {"w": old}, {})

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync" if fails == "fsync" else "pathlib.Path.replace", fail)
    with pytest.raises(CheckpointError, match="No space left"):
        write_safetensors(path, {"w": torch.randn(9)}, {})
    assert torch.equal(read(path).tensors["w"], old)
    assert [file.name for file in tmp_path.iterdir()] == ["a.safetensors"]


def test_a_folder_that_cannot_be_written_is_our_error(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CheckpointError, match="cannot be written"):
        write_json(tmp_path / "file" / "a.json", {})


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_a_new_file_can_be_read_by_those_who_can_read_others(tmp_path):
    (tmp_path / "usual").write_text("")
    for write in (
        lambda path: write_safetensors(path, {"w": torch.randn(2)}, {}),
        lambda path: write_json(path, {}),
        lambda path: write_torch_tensor(path, torch.randn(2)),
    ):
        write(tmp_path / "new")
        assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == stat.S_IMODE(
            (tmp_path / "usual").stat().st_mode
        )


def test_the_file_is_forced_to_the_disk_before_it_gets_its_name(tmp_path, monkeypatch):
    steps = []
    fsync, replace = os.fsync, type(tmp_path).replace
    monkeypatch.setattr("os.fsync", lambda handle: (steps.append("fsync"), fsync(handle)))
    monkeypatch.setattr(type(tmp_path), "replace", lambda a, b: (steps.append("replace"), replace(a, b)))
    write_json(tmp_path / "a.json", {"a": 1})
    assert steps == ["fsync", "replace", "fsync"]  # the file, its name, the folder


def test_only_tensors_that_share_memory_are_copied():
    table = torch.randn(4, 3)
    given = {"whole": table, "same": table, "row": table[1], "turned": table.T, "own": torch.randn(5)}

    own = owned(given)

    assert all(own[name].equal(tensor) and own[name].is_contiguous() for name, tensor in given.items())
    assert all(tensor.untyped_storage().nbytes() == tensor.nbytes for tensor in own.values())
    assert len({tensor.data_ptr() for tensor in own.values()}) == len(own)
    assert [name for name in given if own[name].data_ptr() == given[name].data_ptr()] == ["whole", "own"]


def test_files_that_are_written_aside_end_up_together(tmp_path):
    place = tmp_path / "new" / "place"

    with staged(place) as aside:
        (aside / "a").write_text("1")
        (aside / "b").write_text("2")
        assert [path for path in place.iterdir() if path != aside] == []

    assert {path.name: path.read_text() for path in place.iterdir()} == {"a": "1", "b": "2"}


@pytest.mark.parametrize("error", [OSError(28, "full"), CheckpointError("odd"), KeyboardInterrupt()])
def test_files_that_are_written_aside_are_never_seen_where_the_last_one_fails(tmp_path, error):
    (tmp_path / "a").write_text("old")
    new = tmp_path / "new" / "place"

    def write(place):
        with staged(place) as aside:
            (aside / "a").write_text("new")
            raise error

    for place in (tmp_path, new):
        with pytest.raises((CheckpointError, KeyboardInterrupt)):
            write(place)

    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a": "old"}


def test_an_error_about_a_file_aside_speaks_of_the_place_where_it_was_to_be(tmp_path):
    with pytest.raises(CheckpointError) as raised, staged(tmp_path) as aside:
        raise CheckpointError(f"{aside / 'a'} is odd", found=f"rubbish in {aside}")

    assert str(raised.value) == f"{tmp_path / 'a'} is odd: found rubbish in {tmp_path}"


def test_a_full_disk_is_our_error_when_torch_says_it_in_its_own_way(tmp_path, monkeypatch):
    def full(content, path):
        raise RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 64 vs 0\nbacktrace")

    monkeypatch.setattr(torch, "save", full)

    with pytest.raises(
        CheckpointError, match="cannot be written: found .*unexpected pos 64 vs 0. Free space"
    ):
        write_torch(tmp_path / "a.pth", {})
    assert list(tmp_path.iterdir()) == []

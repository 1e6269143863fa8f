"""Files are replaced whole or not at all."""

import json
import os
import stat

import pytest
import torch

from retimbre.checkpoint.read import read, read_tensor
from retimbre.checkpoint.write import write_json, write_safetensors, write_torch_tensor
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

"""Names, shapes and dtypes come without the weights; a tensor is read when it is asked for."""

import zipfile

import jaxtyping
import pytest
import torch
from safetensors.torch import save_file

from retimbre.checkpoint.lazy import LazyTensors
from retimbre.checkpoint.read import read
from retimbre.errors import CheckpointError

TENSORS = {
    "w": torch.randn(7, 5),
    "half": torch.randn(3, 1, 2).half(),
    "n": torch.arange(4),
    "none": torch.empty(0, 3),
}


def zipped(path):
    torch.save(TENSORS, path)


def deflated(path):
    torch.save(TENSORS, path.with_suffix(".stored"))
    with (
        zipfile.ZipFile(path.with_suffix(".stored")) as old,
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for name in old.namelist():
            new.writestr(name, old.read(name))


def legacy(path):
    torch.save(TENSORS, path, _use_new_zipfile_serialization=False)


def safetensors(path):
    save_file(TENSORS, path)


CONTAINERS = [zipped, deflated, legacy, safetensors]


@pytest.mark.parametrize("write", CONTAINERS)
def test_shapes_and_dtypes_come_without_numbers(tmp_path, write):
    write(tmp_path / "a")
    found = read(tmp_path / "a").tensors.meta()
    assert {name: (tensor.shape, tensor.dtype) for name, tensor in found.items()} == {
        name: (tensor.shape, tensor.dtype) for name, tensor in TENSORS.items()
    }
    assert all(tensor.is_meta for tensor in found.values())


@pytest.mark.parametrize("write", CONTAINERS)
def test_each_tensor_is_read_by_its_name(tmp_path, write):
    write(tmp_path / "a")
    found = read(tmp_path / "a").tensors
    assert len(found) == 4
    assert "w" in found
    assert "v" not in found
    assert all(torch.equal(found[name], tensor) for name, tensor in TENSORS.items())
    with pytest.raises(KeyError):
        found["v"]


def test_a_tensor_is_not_read_before_it_is_asked_for():
    asked = []
    whole = LazyTensors.in_memory(TENSORS)
    lazy = LazyTensors(whole._outlines, lambda name: asked.append(name) or TENSORS[name])
    assert list(lazy.meta()) == list(lazy) == list(TENSORS)
    assert "w" in lazy
    assert not asked
    assert lazy["w"] is TENSORS["w"]
    assert asked == ["w"]


@pytest.mark.parametrize("write", [zipped, safetensors])
def test_a_tensor_of_a_mapped_file_takes_no_memory_of_its_own(tmp_path, write):
    write(tmp_path / "a")
    found = read(tmp_path / "a").tensors
    assert found["w"].data_ptr() == found["w"].data_ptr()
    first, second = found["w"], found["w"]
    first[0, 0] = 8.0
    assert second[0, 0] == 8.0


def test_a_damaged_compressed_tensor_is_named_when_it_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # its check of a mapping reads a tensor
    deflated(tmp_path / "a")
    with zipfile.ZipFile(tmp_path / "a") as archive:
        record = max(archive.infolist(), key=lambda info: info.file_size * info.filename.count("/data/"))
    content = bytearray((tmp_path / "a").read_bytes())
    content[record.header_offset + 60] ^= 0x55
    (tmp_path / "a").write_bytes(content)
    with zipfile.ZipFile(tmp_path / "a") as archive:
        assert archive.testzip() == record.filename
    found = read(tmp_path / "a").tensors
    with pytest.raises(CheckpointError, match="damaged"):
        found["w"]

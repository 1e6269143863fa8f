import pytest
import torch
from safetensors import safe_open

from retimbre.data.tensors import read_tensors, write_tensors
from retimbre.errors import DataError

TENSORS = {
    "spec": torch.randn(5, 7),
    "is_voiced": torch.rand(7) > 0.5,
    "frames": torch.arange(9) ** 8,
    "empty": torch.zeros(3, 0),
}


def test_tensors_and_facts_come_back(tmp_path):
    write_tensors(tmp_path / "a" / "x.safetensors", TENSORS, {"source": "ä\n"})
    file = read_tensors(tmp_path / "a" / "x.safetensors")
    assert file.facts["source"] == "ä\n"
    assert file.tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        torch.testing.assert_close(file.tensors[name], tensor, rtol=0, atol=0)


def test_file_is_ordinary_safetensors(tmp_path):
    write_tensors(tmp_path / "x.safetensors", TENSORS, {"mel": "{}"})
    with safe_open(tmp_path / "x.safetensors", framework="pt") as file:
        assert file.metadata()["mel"] == "{}"
        torch.testing.assert_close(file.get_tensor("spec"), TENSORS["spec"], rtol=0, atol=0)


def test_transposed_tensor_is_written_in_its_own_order(tmp_path):
    write_tensors(tmp_path / "x.safetensors", {"spec": TENSORS["spec"].T}, {})
    torch.testing.assert_close(read_tensors(tmp_path / "x.safetensors").tensors["spec"], TENSORS["spec"].T)


def test_same_content_gives_same_bytes(tmp_path):
    for name in ("a", "b"):
        write_tensors(tmp_path / name, dict(reversed(TENSORS.items())), {"z": "1", "a": "2"})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_every_damage_is_found(tmp_path):
    path = tmp_path / "x.safetensors"
    write_tensors(path, TENSORS, {"source": "s"})
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[-3] ^= 1
    for content in (b"", whole[:5], whole[:-1], whole + b"x", bytes(flipped), b"\xff" * 64, whole[50:]):
        path.write_bytes(content)
        with pytest.raises(DataError, match="cannot be used"):
            read_tensors(path)


def test_file_of_another_program_is_refused(tmp_path):
    from safetensors.torch import save_file

    save_file({"spec": TENSORS["spec"]}, tmp_path / "x.safetensors")
    with pytest.raises(DataError, match="damaged"):
        read_tensors(tmp_path / "x.safetensors")


def test_missing_file_is_explained(tmp_path):
    with pytest.raises(DataError, match="nothing of that name"):
        read_tensors(tmp_path / "none")

"""A key in a file of torch.save gets another name, and nothing else changes."""

import zipfile

import pytest
import torch

from retimbre.checkpoint.rename import rename_key, renamed
from retimbre.errors import CheckpointError


def pickled(tmp_path, value):
    torch.save(value, tmp_path / "x.pt")
    with zipfile.ZipFile(tmp_path / "x.pt") as archive:
        return archive.read("x/data.pkl")


@pytest.mark.parametrize("first", ["key", "elsewhere"])
def test_other_places_that_share_the_text_keep_it(tmp_path, first):
    shared = "".join(["spea", "ker"])  # one object in several places: a pickle writes it once
    parts = {"names": {"other": 0, shared: 1}, "list": [shared, shared], "known": {shared: "x"}}
    value = parts if first == "key" else dict(reversed(parts.items()))
    pickle = renamed(pickled(tmp_path, value), at=["names"], old="speaker", new="☃")
    with zipfile.ZipFile(tmp_path / "x.pt") as old, zipfile.ZipFile(tmp_path / "y.pt", "w") as new:
        for name in old.namelist():
            new.writestr(name, pickle if name.endswith("data.pkl") else old.read(name))
    found = torch.load(tmp_path / "y.pt", weights_only=True)
    assert found == value | {"names": {"other": 0, "☃": 1}}
    assert list(found["names"]) == ["other", "☃"]


def test_a_pickle_whose_lengths_are_counted_is_sent_to_our_format(tmp_path):
    torch.save({"names": {"a": 0}}, tmp_path / "x.pt", pickle_protocol=4)
    with zipfile.ZipFile(tmp_path / "x.pt") as archive:
        pickle = archive.read("x/data.pkl")
    with pytest.raises(CheckpointError, match=r"--output NAME\.safetensors"):
        renamed(pickle, at=["names"], old="a", new="b")


def test_a_key_that_is_not_there_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"no 'b' in names"):
        renamed(pickled(tmp_path, {"names": {"a": 0}}), at=["names"], old="b", new="c")


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "x.pt"
    torch.save({"names": {"a": 0}, "w": torch.randn(50)}, path)
    before = path.read_bytes()

    def fail(*words):
        raise OSError("no space")

    monkeypatch.setattr("retimbre.checkpoint.rename.shutil.copyfileobj", fail)
    with pytest.raises(CheckpointError, match="no space"):
        rename_key(path, path, at=["names"], old="a", new="b")
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["x.pt"]


def test_tensors_keep_every_bit_and_their_place_in_memory(tmp_path):
    tensors = {str(number): torch.randn(number, 3) for number in range(1, 9)}
    torch.save({"names": {"a": 0}, "tensors": tensors}, tmp_path / "x.pt")
    rename_key(tmp_path / "x.pt", tmp_path / "y.pt", at=["names"], old="a", new="a much longer name")
    found = torch.load(tmp_path / "y.pt", weights_only=True, mmap=True)
    assert found["names"] == {"a much longer name": 0}
    for name, tensor in tensors.items():
        assert found["tensors"][name].equal(tensor)
        assert found["tensors"][name].data_ptr() % 64 == 0

"""Every container that people have, and what is none."""

import hashlib
import json
import pickle
import struct
import warnings
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from retimbre.checkpoint.read import read, read_tensor
from retimbre.checkpoint.shapes import shapes_of
from retimbre.errors import CheckpointError

CONTAINERS = [
    "ar_variants", "awkward_numpy1", "awkward_numpy2", "dlas_finetune", "hifigan_v1_legacy", "hifigan_v1_zip",
    "hifigan_v3_legacy", "hifigan_v3_zip", "safetensors_sharded", "tortoise_models", "xtts_trainer",
    "xtts_v2_model",
]  # fmt: skip
NETWORKS = {"whole_module.pt"}  # pickled as a whole: refused by the name of their class


def digest(tensor):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return hashlib.sha256(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()).hexdigest()


def by_path(contents):
    """All tensors by the paths of expected.json: containers joined with a slash."""
    at = contents.weights_at or ""
    if "," in at:  # mpd, msd
        named = {name.replace(".", "/", 1): tensor for name, tensor in contents.tensors.items()}
    else:
        named = {
            f"{at}/{name}" if at.strip(".") else name: tensor for name, tensor in contents.tensors.items()
        }
    return {name or ".": tensor for name, tensor in (named | dict(contents.other_tensors)).items()}


def entries(parity, folder):
    """The files of a folder that hold something to read, with what is expected of them."""
    expected = json.loads((parity("containers") / folder / "expected.json").read_text())["files"]
    return {
        parity("containers") / folder / name: entry
        for name, entry in expected.items()
        if name not in NETWORKS and entry["container"]["format"] != "json"
    }


def test_every_folder_of_containers_is_compared(parity):
    assert sorted(path.name for path in parity("containers").iterdir() if path.is_dir()) == CONTAINERS


@pytest.fixture
def saved(tmp_path):
    """A file as torch.save writes it today."""
    torch.manual_seed(5)
    tensors = {"layer.weight": torch.randn(7, 5), "layer.bias": torch.randn(7)}
    torch.save({"state_dict": tensors, "epoch": 3}, tmp_path / "saved.ckpt")
    return tmp_path / "saved.ckpt", tensors


@pytest.mark.parametrize("folder", CONTAINERS)
def test_every_tensor_is_read_as_it_was_written(parity, folder):
    for path, entry in entries(parity, folder).items():
        contents = read(path)
        assert contents.container == entry["container"]["format"], path.name
        assert contents.tensors.meta().keys() == set(contents.tensors), path.name
        found = by_path(contents)
        assert found.keys() >= entry["tensors"].keys(), path.name  # those in unknown objects are found, too
        for name, tensor in entry["tensors"].items():
            assert list(found[name].shape) == tensor["shape"], (path.name, name)
            assert str(found[name].dtype) == f"torch.{tensor['dtype']}", (path.name, name)
            assert digest(found[name]) == tensor["sha256"], (path.name, name)


@pytest.mark.parametrize("folder", CONTAINERS)
def test_the_weights_are_where_they_are_said_to_be(parity, folder):
    for path, entry in entries(parity, folder).items():
        contents = read(path)
        if "weights_at" in entry:
            assert contents.weights_at == entry["weights_at"], path.name
        if contents.tensors and contents.container != "safetensors":
            assert contents.storage_location == entry["container"]["storage_location"], path.name


def test_tensors_of_one_storage_share_it(parity):
    found = read(parity("containers") / "awkward_numpy2" / "tensors.pt").tensors
    first, tail = found["shared.a"], found["shared.tail"]
    assert tail.data_ptr() - first.data_ptr() == 18 * first.itemsize
    assert found["tied.head"].data_ptr() == found["tied.embedding"].data_ptr()


@pytest.mark.parametrize("numpy", ["awkward_numpy1", "awkward_numpy2"])
def test_odd_values_are_reached_without_their_classes(parity, numpy):
    values = read(parity("containers") / numpy / "lightning_like.ckpt").values["hyper_parameters"]
    assert values["path"] == "runs/voice/version_0"
    assert values["activation"] == "gelu"
    assert values["level"] == 3
    assert values["namespace"] == {"lr": 0.0001, "layers": [1, 2], "name": "x"}
    assert values["custom"]["nested"] == {"bands": 80}
    assert values["slots"] == {"hop": 256, "bands": 80}
    assert values["np_float"] == 0.125
    assert values["np_array"][1][0] == pytest.approx(3 / 7)
    assert values["size"] == (2, 3)
    assert values["device"] == "cuda:0"
    assert values["dtype"] == "torch.bfloat16"


def test_a_path_of_windows_is_a_text(parity):
    contents = read(parity("containers") / "awkward_numpy2" / "windows_path.ckpt")
    assert contents.values["hyper_parameters"] == {"data": "D:\\voices\\ann"} or "D:\\voices\\ann" in str(
        contents.values
    ).replace("\\\\", "\\")
    assert contents.notes == ("pathlib.WindowsPath",)


def test_a_network_pickled_as_a_whole_is_refused_by_the_name_of_its_class(parity):
    with pytest.raises(CheckpointError, match=r"class vanished_trainer\.config\.Tiny"):
        read(parity("containers") / "awkward_numpy2" / "whole_module.pt")


def test_the_weights_are_the_dictionary_with_the_most_tensors(saved):
    path, tensors = saved
    contents = read(path)
    assert contents.weights_at == "state_dict"
    assert contents.values == {"epoch": 3}
    assert all(torch.equal(contents.tensors[name], tensor) for name, tensor in tensors.items())


def test_tensors_of_an_optimiser_are_not_the_weights(tmp_path):
    state = {str(i): torch.randn(3) for i in range(9)}
    torch.save({"model": {"w": torch.randn(2)}, "optimizer": state}, tmp_path / "a.pth")
    contents = read(tmp_path / "a.pth")
    assert list(contents.tensors) == ["w"]
    assert len(contents.other_tensors) == 9


def test_shapes_come_without_the_weights(saved):
    assert shapes_of(read(saved[0]).tensors) == {"layer.weight": (7, 5), "layer.bias": (7,)}


def test_changing_a_tensor_does_not_change_the_file(saved):
    path, tensors = saved
    read(path).tensors["layer.weight"].zero_()
    assert torch.equal(read(path).tensors["layer.weight"], tensors["layer.weight"])


def test_shared_and_strided_tensors_keep_their_values(tmp_path):
    whole = torch.randn(6, 4)
    tensors = {
        "a": whole,
        "t": whole.t(),
        "part": whole[2:4, 1:3],
        "one": whole[0, 0],
        "wide": whole[:1].expand(5, 4),
    }
    torch.save(tensors, tmp_path / "a.pt")
    found = read(tmp_path / "a.pt").tensors
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())


def test_the_legacy_container_of_today_is_read_too(tmp_path):
    tensors = {"a": torch.randn(3, 5), "b": torch.arange(7), "c": torch.randn(2).half()}
    torch.save(tensors, tmp_path / "a.pt", _use_new_zipfile_serialization=False)
    contents = read(tmp_path / "a.pt")
    assert contents.container == "torch-legacy"
    assert all(torch.equal(contents.tensors[name], tensor) for name, tensor in tensors.items())


def test_one_bare_tensor_is_read_by_itself(tmp_path):
    spec = torch.randn(80, 13)
    torch.save(spec, tmp_path / "spec.pt")
    assert torch.equal(read_tensor(tmp_path / "spec.pt"), spec)
    torch.save({"a": spec, "b": spec}, tmp_path / "two.pt")
    with pytest.raises(CheckpointError, match="no single tensor"):
        read_tensor(tmp_path / "two.pt")


def test_many_single_tensors_do_not_keep_their_files_open(tmp_path):
    torch.save(torch.randn(3), tmp_path / "spec.pt")
    before = len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").is_dir() else 0
    kept = [read_tensor(tmp_path / "spec.pt") for _ in range(20)]
    after = len(list(Path("/proc/self/fd").iterdir())) if before else 0
    assert len(kept) == 20
    assert after <= before + 1


def test_the_ending_of_a_name_decides_nothing(saved, tmp_path):
    renamed = tmp_path / "really-a-checkpoint.safetensors"
    renamed.write_bytes(saved[0].read_bytes())
    assert read(renamed).container == "torch-zip"


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "an empty file"),
        (b"\n<!DOCTYPE html><title>404</title>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00", "Git LFS"),
        (b"plain text", "something else"),
        (b"RIFF....WAVEfmt ", "a sound file"),
        (b"GGUF\x03\x00\x00\x00", "a GGUF file"),
        (b"\x89HDF\r\n\x1a\n\x00", "an HDF5 file"),
        (b"\x93NUMPY\x01\x00", r"an array of numpy \(\.npy\)"),
        (b"\x1f\x8b\x08\x00", "a gzip archive"),
        (b"made/data.pkl".ljust(257, b"\x00") + b"ustar\x0000", "a tar archive"),
        (b"\x08\x07\x12\x07pytorch", "an ONNX network"),
    ],
)
def test_what_is_no_checkpoint_is_called_by_its_name(tmp_path, content, found):
    (tmp_path / "a.ckpt").write_bytes(content)
    with pytest.raises(CheckpointError, match=found):
        read(tmp_path / "a.ckpt")


def test_a_missing_file_and_a_folder_are_our_errors(tmp_path):
    for path in (tmp_path / "missing.ckpt", tmp_path):
        with pytest.raises(CheckpointError, match="cannot be read"):
            read(path)


def test_a_pickle_of_something_else_is_no_checkpoint(tmp_path):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"a": 1}, protocol=4))
    with pytest.raises(CheckpointError, match="holds no weights"):
        read(tmp_path / "a.pkl")


def test_a_zip_file_of_something_else_is_no_checkpoint(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("notes.txt", "hello")
    with pytest.raises(CheckpointError, match="holds no weights"):
        read(tmp_path / "a.zip")


@pytest.mark.parametrize("is_zip", [True, False])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9, 0.99])
def test_a_file_that_was_cut_short_is_damage(tmp_path, is_zip, share):
    path = tmp_path / "a.pt"
    torch.save({"w": torch.randn(40, 50), "b": torch.randn(3)}, path, _use_new_zipfile_serialization=is_zip)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(CheckpointError, match="damaged|cut short|holds no weights"):
        read(path)


def tensor_pickle(file_with, *, shape, stride, offset=0, n_items=4):
    """A tensor with sizes as declared, over a storage of `n_items` numbers."""
    end = b"NtQ" if file_with.container == "torch-legacy" else b"tQ"
    number = lambda value: b"\x8a\x08" + struct.pack("<q", value)  # noqa: E731
    numbers = lambda values: b"(" + b"".join(map(number, values)) + b"t"  # noqa: E731
    storage = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu"
    storage += number(n_items) + end
    rebuilt = (
        b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + number(offset) + numbers(shape) + numbers(stride)
    )
    return b"\x80\x02}X\x01\x00\x00\x00w" + rebuilt + b"\x89}tRs."


@pytest.mark.parametrize(
    "sizes",
    [
        {"shape": (5,), "stride": (1,)},
        {"shape": (2, 2), "stride": (3, 1), "offset": 1},
        {"shape": (4,), "stride": (1,), "offset": 1},
        {"shape": (2,), "stride": (1 << 60,)},
        {"shape": (-1,), "stride": (1,)},
        {"shape": (2,), "stride": (-1,), "offset": 3},
        {"shape": (2,), "stride": (1,), "offset": -1},
        {"shape": (2, 2), "stride": (1,)},
        {"shape": (1,) * 65, "stride": (1,) * 65},
    ],
)
def test_a_tensor_beyond_its_storage_is_damage(file_with, sizes):
    contents = tensor_pickle(file_with, **sizes)
    with pytest.raises(CheckpointError, match="damaged"):
        read(file_with(contents, storages={"0": torch.randn(4).numpy().tobytes()}))


def test_a_storage_that_the_file_does_not_hold_is_damage(file_with):
    contents = tensor_pickle(file_with, shape=(9,), stride=(1,), n_items=9)
    with pytest.raises(CheckpointError, match="damaged"):
        read(file_with(contents, storages={"0": torch.randn(4).numpy().tobytes()}))
    with pytest.raises(CheckpointError, match="damaged"):
        read(file_with(contents))


def test_one_number_that_stands_for_terabytes_is_refused(file_with):
    contents = tensor_pickle(file_with, shape=(1 << 20, 1 << 20), stride=(0, 0))
    with pytest.raises(CheckpointError, match="far larger than the file"):
        read(file_with(contents, storages={"0": torch.randn(4).numpy().tobytes()}))


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", pickle.dumps({"a": 1}, protocol=2))
        archive.writestr("a/data/0", bytes(80_000_000))
    with pytest.raises(CheckpointError, match="unpack to far more"):
        read(tmp_path / "a.pt")


def test_a_file_that_was_packed_again_is_read(tmp_path, saved):
    path, tensors = saved
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(tmp_path / "b.ckpt", "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    found = read(tmp_path / "b.ckpt").tensors
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())


def test_safetensors_come_with_the_text_in_their_head(tmp_path):
    weight = torch.randn(3, 5)
    save_file({"w": weight}, tmp_path / "a.safetensors", metadata={"made": "here"})
    contents = read(tmp_path / "a.safetensors")
    assert contents.container == "safetensors"
    assert torch.equal(contents.tensors["w"], weight)
    assert contents.metadata == {"made": "here"}


@pytest.mark.parametrize("n_header", [0, 20, 1 << 20, 1 << 40, (1 << 64) - 1])
def test_a_safetensors_header_of_any_length_is_bounded(tmp_path, n_header):
    (tmp_path / "a.safetensors").write_bytes(struct.pack("<Q", n_header) + b'{"w":{}}' + bytes(40))
    with pytest.raises(CheckpointError, match="damaged"):
        read(tmp_path / "a.safetensors")


@pytest.mark.parametrize("n_padding", range(0, 256, 8))
def test_a_safetensors_header_of_any_length_is_read(tmp_path, n_padding):
    weights = torch.randn(3)
    save_file({"w": weights}, tmp_path / "w.safetensors", metadata={"note": "x" * n_padding})

    assert read(tmp_path / "w.safetensors").tensors["w"].equal(weights)


def test_a_safetensors_file_that_was_cut_in_its_header_is_damage(tmp_path):
    save_file({"w": torch.randn(3)}, tmp_path / "w.safetensors", metadata={"note": "x" * 900})
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes((tmp_path / "w.safetensors").read_bytes()[:300])

    with pytest.raises(CheckpointError, match="damaged|cut"):
        read(cut)


def test_an_index_may_not_lead_out_of_its_folder(tmp_path):
    save_file({"w": torch.randn(2)}, tmp_path / "secret.safetensors")
    (tmp_path / "inner").mkdir()
    for shard in ("../secret.safetensors", str(tmp_path / "secret.safetensors"), 7):
        index = tmp_path / "inner" / "model.safetensors.index.json"
        index.write_text(json.dumps({"weight_map": {"w": shard}}))
        with pytest.raises(CheckpointError, match="outside its folder"):
            read(index)


def test_a_missing_part_of_a_model_is_named(tmp_path):
    (tmp_path / "a.index.json").write_text(json.dumps({"weight_map": {"w": "part-2.safetensors"}}))
    with pytest.raises(CheckpointError, match=r"part-2\.safetensors"):
        read(tmp_path / "a.index.json")


def test_a_model_in_several_files_opens_as_one(parity):
    folder = parity("containers") / "safetensors_sharded"
    expected = json.loads((folder / "expected.json").read_text())["files"]
    contents = read(folder / "model.safetensors.index.json")
    assert sorted(contents.tensors) == expected["model.safetensors.index.json"]["opens_as_one"]

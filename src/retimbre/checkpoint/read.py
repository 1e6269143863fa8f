"""A file with weights -> Contents: tensors, plain values, notes. Nothing in the file is ever run.

What a file is follows from its first bytes, not from its name.
"""

import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

from torch import Tensor

from retimbre.checkpoint.lazy import LazyTensors
from retimbre.checkpoint.rebuild import Sparse, Stored
from retimbre.checkpoint.safetensors_files import read_index, read_safetensors
from retimbre.checkpoint.torch_files import Pickled, read_legacy, read_zip
from retimbre.checkpoint.tree import pickled_network, plain, weights_in
from retimbre.errors import CheckpointError

MAX_EXPANSION = 4  # how much larger the tensors may be than the file that holds them ...
FREE_EXPANSION_BYTES = 1 << 28  # ... beyond this
N_HEAD_BYTES = 512  # a tar archive says so at 257
KINDS = (  # what people take for a checkpoint: where its mark stands, and what it is
    (0, b"GGUF", "a GGUF file of llama.cpp"),
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file, as Keras writes it"),
    (0, b"\x93NUMPY", "an array of numpy (.npy)"),
    (0, b"\x1f\x8b", "a gzip archive: unpack it first"),
    (0, b"BZh", "a bzip2 archive: unpack it first"),
    (0, b"\xfd7zXZ", "an xz archive: unpack it first"),
    (0, b"7z\xbc\xaf", "a 7z archive: unpack it first"),
    (0, b"Rar!", "a RAR archive: unpack it first"),
    (257, b"ustar", "a tar archive: unpack it first"),
    (0, b"\x08", "perhaps an ONNX network, which is not read"),
    (4, b"TFL3", "a network for TensorFlow Lite"),
    (0, b"PK\x05\x06", "an empty zip file"),
    (0, b"RIFF", "a sound file"),
    (0, b"fLaC", "a sound file"),
    (0, b"\x7fELF", "a program"),
    (0, b"MZ", "a program"),
)


@dataclass(frozen=True, kw_only=True)
class Contents:
    """What is in a file with weights.

    Args:
        path: The file.
        container: `torch-zip`, `torch-legacy` or `safetensors`.
        tensors: The weights, under the names in the file; a file of one bare tensor calls it `.`. Each is
            read when it is asked for.
        weights_at: Where in the file they are: `""` for the top, for instance `state_dict`; `.` if it is one
            bare tensor, None if it holds no weights.
        other_tensors: All other tensors by their path, for instance of an optimiser.
        values: Everything that is no tensor, as plain values; a tensor among them is None.
        metadata: The text in the head of a safetensors file.
        storage_location: Label of the device that the tensors were on, such as `cuda:0`.
        notes: Names of classes and functions that the file refers to; they were neither imported nor called.
    """

    path: Path
    container: str
    tensors: LazyTensors
    weights_at: str | None = ""
    other_tensors: LazyTensors = field(default_factory=lambda: LazyTensors.in_memory({}))
    values: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    storage_location: str | None = None
    notes: tuple[str, ...] = ()


def read(path: Path) -> Contents:
    """The contents of a checkpoint in any supported format."""
    path = Path(path)
    try:
        return _read(path)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read", found=error.strerror or str(error)) from error
    except CheckpointError as error:
        raise error.of(path) from error


def read_tensor(path: Path) -> Tensor:
    """The one tensor of a file that holds nothing else, such as a predicted spectrogram."""
    tensors = read(path).tensors
    if len(tensors) != 1:
        raise CheckpointError(
            f"{path} is no single tensor", expected="one tensor", found=f"{len(tensors)} named ones"
        )
    return next(
        iter(tensors.values())
    ).clone()  # a mapped file stays open, and a data set has thousands of them


def _read(path: Path) -> Contents:
    if not stat.S_ISREG(path.stat().st_mode):  # a pipe would be waited for without end
        raise CheckpointError("it cannot be read", expected="a file", found=_kind_of(path))
    with path.open("rb") as file:
        head = file.read(N_HEAD_BYTES)
    if _is_safetensors(head, path.stat().st_size):  # first: the length of its header may begin like a pickle
        tensors, metadata = read_safetensors(path)
        return Contents(path=path, container="safetensors", tensors=tensors, metadata=metadata)
    if head.startswith(b"PK\x03\x04"):
        return _from_pickle(path, "torch-zip", read_zip(path))
    if head.startswith(b"\x80"):
        return _from_pickle(path, "torch-legacy", read_legacy(path))
    if head[8:9] == b"{":  # cut short: its own reader says so
        read_safetensors(path)
    if head.lstrip().startswith(b"{"):
        return Contents(path=path, container="safetensors", tensors=read_index(path))
    raise CheckpointError(
        "this file holds no weights",
        expected="a .safetensors file or one written by torch.save",
        found=_what_it_is(head),
        do="download it again" if head else None,
    )


def _is_safetensors(head: bytes, n_bytes: int) -> bool:
    """Eight bytes with the length of a header that lies within the file, then its first brace."""
    return head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= n_bytes - 8


def _from_pickle(path: Path, container: str, pickled: Pickled) -> Contents:
    weights = weights_in(pickled.tree)
    network = pickled_network(pickled.tree)
    if not weights.tensors and network:
        raise CheckpointError(
            "the file holds a whole network object, not its weights",
            found=f"class {network}",
            do="save network.state_dict() where its code is at hand",
        )
    values, others = plain(pickled.tree, without=weights.tensors)
    every = [*weights.tensors.values(), *others.values()]
    pickled.storages.require(every)
    _refuse_expansion(every, path.stat().st_size)
    return Contents(
        path=path,
        container=container,
        tensors=pickled.storages.tensors(weights.tensors),
        weights_at=weights.at,
        other_tensors=pickled.storages.tensors(others),
        values=values if isinstance(values, dict) else {"": values},
        storage_location=every[0].parts[0].storage.location if every else None,
        notes=pickled.names,
    )


def _refuse_expansion(tensors: Iterable[Stored | Sparse], n_bytes: int) -> None:
    """A tensor may repeat one number (stride 0), and many may share a storage: kilobytes fill a memory."""
    total = sum(prod(stored.shape) * stored.dtype.itemsize for stored in tensors)
    if total > n_bytes * MAX_EXPANSION + FREE_EXPANSION_BYTES:
        raise CheckpointError("the tensors are far larger than the file", found=f"{total} bytes in {n_bytes}")


def _kind_of(path: Path) -> str:
    return "a folder" if path.is_dir() else "a device or a pipe"


def _what_it_is(head: bytes) -> str:
    if not head:
        return "an empty file"
    if head.lstrip().lower().startswith((b"<!doctype", b"<html")):
        return "a web page"
    if head.startswith(b"version https://git-lfs"):
        return "a pointer of Git LFS, which stands for the file"
    for place, mark, name in KINDS:
        if head[place:].startswith(mark):
            return name
    return "something else"

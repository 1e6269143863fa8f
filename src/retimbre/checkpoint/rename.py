"""One key in a file of torch.save gets another name; every other byte of its pickle and its tensors stays.

The pickle is read by the restricted reader, which tells where the key stands. There the new text is put;
other places that shared the old one get it in full, so that they keep it.
"""

# ruff: noqa: ANN401 (a pickle may hold anything in any place)

import io
import json
import shutil
import struct
import zipfile
from collections.abc import Sequence
from pathlib import Path
from pickletools import genops
from typing import Any

from retimbre.checkpoint.pickles import Machine
from retimbre.checkpoint.torch_files import read_zip, zip_storage
from retimbre.checkpoint.tree import plain
from retimbre.checkpoint.write import replace_file
from retimbre.errors import CheckpointError

PUT = ("PUT", "BINPUT", "LONG_BINPUT")  # opcodes of pickle: keep under a number what was just read
GET = ("GET", "BINGET", "LONG_BINGET")  # take it from there
TEXT = ("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8")
COUNTED = ("FRAME", "MEMOIZE")  # lengths and numbers that a change would make wrong
ALIGNMENT_BYTES = 64  # torch maps storages that begin at such a place
PADDING = b"FB"  # torch's own mark of what fills up to it
CHUNK_BYTES = 1 << 20


def rename_key(path: Path, output: Path, *, at: Sequence[str], old: str, new: str) -> None:
    """Write the file at `path` to `output`, which may be the same, with a key of one dictionary renamed.

    Args:
        at: Keys on the way to the dictionary.

    Raises:
        CheckpointError: if the file is no zip of torch.save, or there is no such key.
    """
    read_zip(path)  # refuses what no checkpoint holds
    with zipfile.ZipFile(path) as archive:
        (name,) = [name for name in archive.namelist() if name.split("/")[1:] == ["data.pkl"]]
        edited = renamed(archive.read(name), at=at, old=old, new=new)
        replace_file(output, lambda part: _write(archive, part, {name: edited}))


def renamed(pickle: bytes, *, at: Sequence[str], old: str, new: str) -> bytes:
    """The pickle with the key `old` of the dictionary at `at` called `new`."""
    tree = _Placing(pickle).value
    for name in at:
        tree = tree.get(name) if isinstance(tree, dict) else None
    key = next((key for key in tree if key == old), None) if isinstance(tree, dict) else None
    if not isinstance(key, _Placed):
        raise CheckpointError(f"there is no '{old}' in {'.'.join(at)}", found=ascii(tree)[:120])
    edited = _edited(pickle, key, new)
    if _with_key(_plain(pickle), at, old, new) != _plain(edited):
        raise CheckpointError("the key cannot be renamed without touching something else")
    return edited


class _Placed(str):
    """A text and where it ends in the pickle."""

    __slots__ = ("end",)
    end: int


class _Placing(Machine):
    """Reads a pickle and remembers where each text was put on the stack."""

    def __init__(self, pickle: bytes) -> None:
        super().__init__(zip_storage)
        self.value = self.run(pickle)

    def _step(self, name: str, argument: Any) -> None:
        if name in COUNTED:
            raise CheckpointError(
                "the values in this file cannot be changed one by one",
                do="write a .safetensors file instead: --output NAME.safetensors",
            )
        super()._step(name, argument)
        if name in (*TEXT, *GET) and isinstance(self._stack[-1], str):
            placed = _Placed(self._stack[-1])
            placed.end = self.end
            self._stack[-1] = placed


def _edited(pickle: bytes, key: _Placed, new: str) -> bytes:
    """The new text instead of the opcode that gave the key; others that took it from the memo get the old."""
    opcodes = [(opcode.name, argument, at) for opcode, argument, at in genops(pickle)]
    ends = [at for _, _, at in opcodes[1:]] + [len(pickle)]
    number = ends.index(key.end)
    following = opcodes[number + 1]
    memo = following[1] if opcodes[number][0] in TEXT and following[0] in PUT else None
    parts = []
    for index, ((name, argument, at), end) in enumerate(zip(opcodes, ends, strict=True)):
        is_shared = memo is not None and name in GET and argument == memo
        text = new if index == number else str(key) if is_shared else None
        parts.append(pickle[at:end] if text is None else _text(text))
    return b"".join(parts)


def _text(text: str) -> bytes:
    content = text.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(content)) + content


def _plain(pickle: bytes) -> str:
    values, tensors = plain(Machine(zip_storage).run(pickle))
    return json.dumps([values, sorted(tensors)], default=repr)


def _with_key(text: str, at: Sequence[str], old: str, new: str) -> str:
    """What `_plain` should give afterwards."""
    values, tensors = json.loads(text)
    inside = values
    for name in at[:-1]:
        inside = inside[name]
    inside[at[-1]] = {new if key == old else key: value for key, value in inside[at[-1]].items()}
    return json.dumps([values, tensors])


def _write(archive: zipfile.ZipFile, path: Path, edited: dict[str, bytes]) -> None:
    """The same records in the same order, stored and aligned as torch does it."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as target:
        for info in archive.infolist():
            record = zipfile.ZipInfo(info.filename, info.date_time)
            content = edited.get(info.filename)
            record.file_size = info.file_size if content is None else len(content)
            record.extra = _padding(target, record)
            source = archive.open(info) if content is None else io.BytesIO(content)
            with source, target.open(record, "w") as sink:
                shutil.copyfileobj(source, sink, CHUNK_BYTES)


def _padding(target: zipfile.ZipFile, record: zipfile.ZipInfo) -> bytes:
    begins = target.start_dir + 30 + len(record.filename.encode()) + 4
    n_bytes = -begins % ALIGNMENT_BYTES
    return PADDING + struct.pack("<H", n_bytes) + b"Z" * n_bytes

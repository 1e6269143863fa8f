"""Good files of every container, and random damage to them: which bytes it touches, and what may follow."""

import io
import json
import random
import struct
import zipfile
from dataclasses import dataclass, field

import torch
from safetensors.torch import save, save_file

from building.containers import LEGACY_MAGIC


@dataclass(frozen=True)
class Good:
    """A file that can be read.

    Args:
        structure: Places [begin, end) of everything that is no tensor.
        unchecked: Those of them without a checksum: what changes there may change what the file says.
        places: Where the bytes of each tensor lie, if they stand in the file as they are.
    """

    content: bytes
    structure: tuple[tuple[int, int], ...]
    unchecked: tuple[tuple[int, int], ...] = ()
    places: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Damaged:
    """The bytes of a damaged file, and the places [begin, end) that were touched."""

    content: bytes
    touched: tuple[tuple[int, int], ...]

    def spares(self, begin, end):
        """Is nothing between these places touched?"""
        return all(last <= begin or first >= end for first, last in self.touched)


def tensors():
    torch.manual_seed(8)
    whole = torch.randn(9, 4)
    return {
        "encoder.weight": torch.randn(7, 5), "encoder.bias": torch.randn(5), "half": torch.randn(3, 4).half(),
        "numbers": torch.randint(1 << 40, (6,)), "turned": whole.t().clone().t(), "tail": torch.randn(2, 3,
        2),
    }  # fmt: skip


def saved(**how):
    buffer = io.BytesIO()
    hyper = {"rate": 22050, "names": ["Ann", "Bob"], "deep": {"path": (1, 2.5, None, True)}}
    torch.save({"state_dict": tensors(), "epoch": 3, "hyper_parameters": hyper}, buffer, **how)
    return buffer.getvalue()


def zipped(content, kind):
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(buffer, "w", kind) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    return buffer.getvalue()


def of_zip(content):
    """Everything but the storages: heads, the pickle, and the list, whose pickle has a checksum."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        records = sorted(archive.infolist(), key=lambda record: record.header_offset)
    structure, at, n_stored = [], 0, 0
    for record in records:
        n_name, n_extra = struct.unpack_from("<2H", content, record.header_offset + 26)
        begins = record.header_offset + 30 + n_name + n_extra
        if "/data/" in record.filename:
            structure.append((at, begins))
            at = begins + record.compress_size
            n_stored += record.compress_type == zipfile.ZIP_STORED
    places = _places(content) if n_stored else {}
    return Good(content, (*structure, (at, len(content))), places=places)


def of_legacy(content):
    """The pickles are all that is no tensor; they have no checksum."""
    places = _places(content)
    begins = min(begin for begin, _ in places.values()) - 8
    return Good(content, ((0, begins),), unchecked=((0, begins),), places=places)


def of_safetensors(content):
    """The header has no checksum."""
    ends = 8 + struct.unpack_from("<Q", content)[0]
    return Good(content, ((0, ends),), unchecked=((0, ends),), places=_places(content))


def _places(content):
    """The bytes of a tensor are random and found by themselves."""
    found = {}
    for name, tensor in tensors().items():
        raw = tensor.contiguous().numpy().tobytes()
        if content.count(raw) == 1:
            found[name] = (content.index(raw), content.index(raw) + len(raw))
    return found


def goods():
    """One file of each container; without checksums, compressed, and with padding too."""
    modern = saved()
    flat = {name: tensor.contiguous() for name, tensor in tensors().items()}
    return {
        "zip": of_zip(modern),
        "zip without padding": of_zip(zipped(modern, zipfile.ZIP_STORED)),
        "zip, compressed": of_zip(zipped(modern, zipfile.ZIP_DEFLATED)),
        "legacy": of_legacy(saved(_use_new_zipfile_serialization=False)),
        "safetensors": of_safetensors(save(flat, metadata={"made": "here", "by": "a test"})),
    }


def index_in(folder):
    """A model in two files: the index is the one that is damaged."""
    flat = {name: tensor.contiguous() for name, tensor in tensors().items()}
    halves = dict(list(flat.items())[:3]), dict(list(flat.items())[3:])
    names = ("model-1.safetensors", "model-2.safetensors")
    for name, half in zip(names, halves, strict=True):
        save_file(half, folder / name)
    where = {key: name for name, half in zip(names, halves, strict=True) for key in half}
    content = json.dumps({"metadata": {"total_size": 1}, "weight_map": where}, indent=1).encode()
    return Good(content, ((0, len(content)),), unchecked=((0, len(content)),))


def damaged(good, draw):
    """One to three changes, six of ten in what is no tensor."""
    content, touched = bytearray(good.content), []
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        if not content:
            break
        begin, end = draw.choice(good.structure) if draw.random() < 0.6 else (0, len(content))
        begin, end = min(begin, len(content) - 1), min(max(end, begin + 1), len(content))
        _change(content, draw.randrange(begin, max(end, begin + 1)), draw, touched)
    return Damaged(bytes(content), tuple(touched))


def _change(content, at, draw, touched):
    n_bytes = min(draw.choice((1, 1, 2, 4, 8, 16, 64, 300)), len(content) - at)
    way = draw.choice(
        ("flip", "flip", "set", "set", "zero", "noise", "swap", "delete", "insert", "double", "cut")
    )
    if way == "flip":
        content[at] ^= 1 << draw.randrange(8)
        touched.append((at, at + 1))
    elif way == "set":
        content[at] = draw.choice((0, 1, 0x7F, 0x80, 0xFE, 0xFF, draw.randrange(256)))
        touched.append((at, at + 1))
    elif way in ("zero", "noise"):
        content[at : at + n_bytes] = bytes(n_bytes) if way == "zero" else draw.randbytes(n_bytes)
        touched.append((at, at + n_bytes))
    elif way == "swap":
        other = draw.randrange(len(content) - n_bytes + 1)
        first, second = content[at : at + n_bytes], content[other : other + n_bytes]
        content[at : at + n_bytes] = second
        content[other : other + n_bytes] = first
        touched += [(at, at + n_bytes), (other, other + n_bytes)]
    else:  # everything behind it moves
        if way == "delete":
            del content[at : at + n_bytes]
        elif way == "cut":
            del content[at:]
        else:
            content[at:at] = draw.randbytes(n_bytes) if way == "insert" else content[at : at + n_bytes]
        touched.append((at, 1 << 62))


def same_bytes(first, second):
    """Equal to the last bit, whatever numbers they are."""
    raw = [tensor.contiguous().reshape(-1).view(torch.uint8) for tensor in (first, second)]
    return first.shape == second.shape and first.dtype == second.dtype and torch.equal(*raw)


def draws(seed):
    """A source of chances that is the same on every machine."""
    return random.Random(f"retimbre {seed} {LEGACY_MAGIC}")

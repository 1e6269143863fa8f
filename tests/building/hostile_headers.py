"""Safetensors whose header lies, indices that lead elsewhere, and places that are no files."""

import json
import os
import struct

import torch
from safetensors.torch import save, save_file


def headed(header, data=b"", *, n_header=None):
    """A file with any header."""
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(raw) if n_header is None else n_header) + raw + data


def entry(*, dtype="F32", shape=(2,), offsets=(0, 8), **more):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets), **more}


def one(data=bytes(8), **sizes):
    return headed({"w": entry(**sizes)}, data)


def good():
    torch.manual_seed(3)
    return save({"w": torch.randn(5, 3), "b": torch.randn(7)}, metadata={"made": "here"})


def headers():
    """Headers that are too long, no JSON, or describe what is not there."""
    long = b'{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},'
    twice = long + b'"w":{"dtype":"I64","shape":[1],"data_offsets":[0,8]}}'
    small = b'{"dtype":"U8","shape":[0],"data_offsets":[0,0]}'
    made = {
        "a header of exabytes": headed(b"{}", n_header=1 << 62),
        "a header of 2**64 - 1": headed(b"{}", n_header=(1 << 64) - 1),
        "a header longer than the file": headed(b"{}", n_header=1000),
        "a header of 120 megabytes": headed(b"{" + b" " * 120_000_000 + b"}"),
        "a header of a million tensors": headed(
            b"{" + b",".join(b'"%d":' % n + small for n in range(1_000_000)) + b"}"
        ),
        "a header of ten million lists": headed(b'{"a":[' + b"[]," * 10_000_000 + b"[]]}"),
        "a header without its end": headed(b'{"w":'),
        "a header that is a list": headed(b'{"w":1}', n_header=7).replace(b'{"w":1}', b"{[1,2]}"),
        "lists in lists": headed(b'{"w":' + b"[" * 200_000 + b"]" * 200_000 + b"}"),
        "objects in objects": headed(b'{"w":' * 200_000 + b"1" + b"}" * 200_000),
        "one name twice": headed(twice, bytes(8)),
        "one field twice": headed(b'{"w":{"dtype":"F32","dtype":"I64","shape":[1],"data_offsets":[0,8]}}',
        bytes(8)),
        "a header that is no UTF-8": headed(b'{"\xff":1}'),
        "a name of half a character": headed(b'{"\\ud800":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}',
        b"a"),
        "a number of a hundred thousand digits": headed(
            b'{"w":{"dtype":"F32","shape":[' + b"9" * 100_000 + b'],"data_offsets":[0,8]}}', bytes(8)
        ),
        "no dtype": headed({"w": {"shape": [2], "data_offsets": [0, 8]}}, bytes(8)),
        "no shape": headed({"w": {"dtype": "F32", "data_offsets": [0, 8]}}, bytes(8)),
        "no offsets": headed({"w": {"dtype": "F32", "shape": [2]}}, bytes(8)),
        "a tensor that is a number": headed({"w": 7}, bytes(8)),
        "an unknown dtype": one(dtype="F31"),
        "a dtype that is a list": headed({"w": entry() | {"dtype": ["F32"]}}, bytes(8)),
        "a negative size": one(shape=(-2,)),
        "two negative sizes": one(shape=(-1, -2)),
        "a size that is a fraction": one(shape=(2.0,)),
        "a size that is true": one(shape=(True, 2)),
        "a shape that is a text": headed({"w": entry() | {"shape": "2"}}, bytes(8)),
        "a size beyond 2**63": one(shape=(1 << 63,)),
        "sizes whose product overflows": one(shape=(1 << 32, 1 << 32)),
        "huge sizes and a zero": one(shape=(1 << 62, 1 << 62, 0), offsets=(0, 0), data=b""),
        "a thousand sizes": one(shape=(1,) * 1_000, offsets=(0, 4), data=bytes(4)),
        "a tensor larger than its bytes": one(shape=(20,)),
        "a tensor smaller than its bytes": one(shape=(1,)),
        "offsets beyond the file": one(offsets=(8, 16)),
        "offsets of exabytes": one(offsets=(1 << 61, (1 << 61) + 8)),
        "offsets beyond 2**64": one(offsets=(1 << 64, (1 << 64) + 8)),
        "negative offsets": one(offsets=(-8, 0)),
        "offsets the wrong way round": one(offsets=(8, 0)),
        "three offsets": one(offsets=(0, 4, 8)),
        "tensors that overlap": headed({"a": entry(), "b": entry(offsets=(4, 12))}, bytes(12)),
        "two tensors in one place": headed({"a": entry(), "b": entry()}, bytes(8)),
        "a hole between tensors": headed({"a": entry(), "b": entry(offsets=(12, 20))}, bytes(20)),
        "bytes behind the tensors": one(data=bytes(80)),
        "an archive behind the tensors": good() + b"PK\x05\x06" + bytes(18),
        "metadata of numbers": headed({"__metadata__": {"a": 1}, "w": entry()}, bytes(8)),
        "metadata of lists": headed({"__metadata__": [1], "w": entry()}, bytes(8)),
        "metadata in metadata": headed({"__metadata__": {"a": {"b": "c"}}, "w": entry()}, bytes(8)),
        **{f"safetensors, cut at {at}": good()[:at] for at in (1, 7, 8, 9, 20, 100, len(good()) - 1)},
    }  # fmt: skip
    return {name: (content, "refused") for name, content in made.items()} | {
        "a header of 99 megabytes of spaces": (headed(b"{}" + b" " * 99_000_000), "opens"),
        "a header of nothing": (headed(b"{}"), "opens"),
        "an empty tensor of sizes": (one(shape=(0, 1 << 40), offsets=(0, 0), data=b""), "opens"),
        "a tensor named like a path": (headed({"../../x": entry()}, bytes(8)), "opens"),
        "a tensor named like a command": (headed({"\x1b[2J; rm -rf /": entry()}, bytes(8)), "opens"),
    }


def index(folder, weight_map, *, shards=("a.safetensors",)):
    """An index in a folder of its own, beside parts that hold `w`."""
    folder.mkdir()
    for shard in shards:
        save_file({"w": torch.ones(2)}, folder / shard)
    content = weight_map if isinstance(weight_map, bytes) else json.dumps({"weight_map": weight_map}).encode()
    (folder / "model.safetensors.index.json").write_bytes(content)
    return folder / "model.safetensors.index.json"


def indices(folder):
    """Name -> path of an index, and how it ends."""
    save_file({"w": torch.ones(2)}, folder / "secret.safetensors")
    maps = {
        "a part above": {"w": "../secret.safetensors"},
        "a part at an absolute path": {"w": str(folder / "secret.safetensors")},
        "a part with a backslash": {"w": "..\\secret.safetensors"},
        "a part that is a number": {"w": 7},
        "a part that is a list": {"w": ["a.safetensors"]},
        "a part of another kind": {"w": "a.pth"},
        "a part with a zero": {"w": "a\x00.safetensors"},
        "a part with a line end": {"w": "a\nb.safetensors"},
        "a part that is the index": {"w": "model.safetensors.index.json"},
        "a part that is missing": {"w": "b.safetensors"},
        "a part of thousands of characters": {"w": "b" * 5_000 + ".safetensors"},
        "a tensor that no part holds": {"v": "a.safetensors"},
        "a million tensors": {f"w{n}": "a.safetensors" for n in range(1_000_000)},
        "300,000 parts": {f"w{n}": f"{n}.safetensors" for n in range(300_000)},
        "no tensors": {},
        "a list": [1, 2],
        "no list": b'{"a": 1}',
        "a map twice": b'{"weight_map": {"w": "a.safetensors"}, "weight_map": {}}',
        "braces": b"{" * 500_000,
        "a list of lists": b'{"weight_map": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        "no JSON": b"{'weight_map': None}",
        "no UTF-8": b'{"\xff\xfe": 1}',
    }
    made = {
        f"an index: {name}": (index(folder / f"index-{n}", content), "refused")
        for n, (name, content) in enumerate(maps.items())
    }
    linked = index(folder / "linked", {"w": "link.safetensors"}, shards=())
    os.symlink(
        folder / "secret.safetensors", linked.parent / "link.safetensors"
    )  # as the cache of a hub has it
    other = index(folder / "index-of-index", {"w": "other.safetensors"})
    (other.parent / "other.safetensors").write_bytes(other.read_bytes())
    piped = index(folder / "piped", {"w": "pipe.safetensors"})
    os.mkfifo(piped.parent / "pipe.safetensors")
    return made | {
        "an index: a part that is a link": (linked, "opens"),
        "an index: a part that is an index": (other, "refused"),
        "an index: a part that is a pipe": (piped, "refused"),
    }


def places(folder):
    """Name -> path of what is no file."""
    os.mkfifo(folder / "pipe")
    os.symlink(folder / "loop", folder / "loop")
    os.symlink(folder / "nowhere", folder / "dangling")
    (folder / "folder.ckpt").mkdir()
    found = {
        "a pipe": folder / "pipe", "a loop of links": folder / "loop",
        "a link to nothing": folder / "dangling",
        "a folder": folder / "folder.ckpt", "a file that is missing": folder / "missing",
        "endless zeros": "/dev/zero", "nothing at all": "/dev/null",
    }  # fmt: skip
    return {name: (path, "refused") for name, path in found.items()}

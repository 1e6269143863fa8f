"""TorToiSe's `autoregressive.pth` in its full size: 421.5 million parameters and the masks, 1.7 GB.

The files are written with holes instead of numbers, which takes neither time nor disk; `fill` puts random
numbers into them.
"""

import pickle
import struct
import zipfile
from math import prod

import torch

from building.containers import LEGACY_MAGIC
from building.hostile_bombs import tensor
from building.hostile_calls import text

DIM, N_LAYERS, N_TEXT, N_CODES, N_TEXT_PLACES, N_CODE_PLACES = 1024, 30, 256, 8194, 404, 608
N_PARAMETERS = 421_526_786
BLOCK_BYTES = 1 << 24


def shapes():
    """Name -> shape and dtype, in the order of the file."""
    found = {}

    def layer(name, *shape, bias=None):
        found[f"{name}.weight"] = shape
        found[f"{name}.bias"] = (bias or shape[0],)

    layer("conditioning_encoder.init", DIM, 80, 1)
    for n in range(6):
        layer(f"conditioning_encoder.attn.{n}.norm", DIM)
        layer(f"conditioning_encoder.attn.{n}.qkv", 3 * DIM, DIM, 1)
        layer(f"conditioning_encoder.attn.{n}.proj_out", DIM, DIM, 1)
    found["text_embedding.weight"] = (N_TEXT, DIM)
    found["mel_embedding.weight"] = (N_CODES, DIM)
    for n in range(N_LAYERS):
        layer(f"gpt.h.{n}.ln_1", DIM)
        found[f"gpt.h.{n}.attn.bias"] = (1, 1, N_TEXT_PLACES + N_CODE_PLACES, N_TEXT_PLACES + N_CODE_PLACES)
        found[f"gpt.h.{n}.attn.masked_bias"] = ()
        layer(f"gpt.h.{n}.attn.c_attn", DIM, 3 * DIM, bias=3 * DIM)
        layer(f"gpt.h.{n}.attn.c_proj", DIM, DIM)
        layer(f"gpt.h.{n}.ln_2", DIM)
        layer(f"gpt.h.{n}.mlp.c_fc", DIM, 4 * DIM, bias=4 * DIM)
        layer(f"gpt.h.{n}.mlp.c_proj", 4 * DIM, DIM, bias=DIM)
    layer("gpt.ln_f", DIM)
    found["mel_pos_embedding.emb.weight"] = (N_CODE_PLACES, DIM)
    found["text_pos_embedding.emb.weight"] = (N_TEXT_PLACES, DIM)
    layer("final_norm", DIM)
    layer("text_head", N_TEXT, DIM)
    layer("mel_head", N_CODES, DIM)
    return {name: (shape, _dtype(name)) for name, shape in found.items()}


def _dtype(name):
    return torch.uint8 if name.endswith(".attn.bias") else torch.float32


def write_zip(path):
    """The container since torch 1.6, as torch writes it; the places of the storages and their lengths."""
    tensors = {name: torch.empty(shape, dtype=dtype) for name, (shape, dtype) in shapes().items()}
    with torch.serialization.skip_data():
        torch.save(tensors, path)
    with zipfile.ZipFile(path) as archive, path.open("rb") as file:
        records = [record for record in archive.infolist() if "/data/" in record.filename]
        return [(_data_at(file, record.header_offset), record.file_size) for record in records]


def _data_at(file, head):
    file.seek(head + 26)
    return head + 30 + sum(struct.unpack("<2H", file.read(4)))


def write_legacy(path):
    """The older container, whose storages are not aligned; their places and lengths."""
    known = shapes()
    opcodes, places = b"\x80\x02}(", []
    for key, (name, (shape, dtype)) in enumerate(known.items()):
        kind = "ByteStorage" if dtype == torch.uint8 else "FloatStorage"
        stride = [prod(shape[n + 1 :]) for n in range(len(shape))]
        sizes = {"shape": shape, "stride": stride, "n_items": prod(shape), "kind": kind, "key": str(key)}
        opcodes += text(name) + tensor(b"NtQ", **sizes)
    head = [pickle.dumps(value, protocol=2) for value in (LEGACY_MAGIC, 1001, {"little_endian": True})]
    keys = pickle.dumps([str(key) for key in range(len(known))], protocol=2)
    with path.open("wb") as file:
        file.write(b"".join([*head, opcodes, b"u.", keys]))
        for shape, dtype in known.values():
            file.write(struct.pack("<q", prod(shape)))
            places.append((file.tell(), prod(shape) * dtype.itemsize))
            file.seek(places[-1][1], 1)
        file.truncate()
    return places


def fill(path, places):
    """Random numbers instead of the holes: one block again and again, which is all that time allows."""
    numbers = torch.randn(BLOCK_BYTES // 4, generator=torch.Generator().manual_seed(5))
    block = memoryview(numbers.numpy()).cast("B")
    with path.open("r+b") as file:
        for at, n_bytes in places:
            file.seek(at)
            for begin in range(0, n_bytes, BLOCK_BYTES):
                file.write(block[: min(BLOCK_BYTES, n_bytes - begin)])

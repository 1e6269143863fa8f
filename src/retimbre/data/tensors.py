"""Feature files: safetensors with a digest, so that damage is found before it enters training."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from retimbre.data.writing import write_bytes
from retimbre.errors import DataError

DIGEST = "content"  # name of the digest among the facts
DTYPES = {torch.float32: "F32", torch.float16: "F16", torch.int64: "I64", torch.bool: "BOOL"}
LENGTH_BYTES = 8


@dataclass(frozen=True, kw_only=True)
class FeatureFile:
    """What one file holds: tensors, and plain text about them."""

    tensors: Mapping[str, Tensor]
    facts: Mapping[str, str]


def write_tensors(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, str]) -> None:
    """Write a safetensors file.

    Not with the library's own writer, which puts the facts in random order: the same features give the same
    bytes here, so that folders can be compared.
    """
    header: dict[str, object] = {}
    parts: list[bytes] = []
    end = 0
    for name, tensor in sorted(tensors.items()):
        content = tensor.detach().cpu().contiguous().numpy().tobytes()
        start, end = end, end + len(content)
        header[name] = {
            "dtype": DTYPES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [start, end],
        }
        parts.append(content)
    data = b"".join(parts)
    header["__metadata__"] = dict(sorted(facts.items())) | {DIGEST: hashlib.sha256(data).hexdigest()}
    head = json.dumps(header, ensure_ascii=False).encode()
    head += b" " * (math.ceil(len(head) / LENGTH_BYTES) * LENGTH_BYTES - len(head))
    write_bytes(path, len(head).to_bytes(LENGTH_BYTES, "little") + head + data)


def read_tensors(path: Path) -> FeatureFile:
    """Read a feature file back.

    Raises:
        DataError: if it is missing, or not as it was written.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise _unusable(path, "nothing of that name" if not path.exists() else str(error)) from error
    try:
        tensors = safetensors.torch.load(content)
        n_head = int.from_bytes(content[:LENGTH_BYTES], "little")
        facts = json.loads(content[LENGTH_BYTES : LENGTH_BYTES + n_head])["__metadata__"]
        digest = facts[DIGEST]
    except (SafetensorError, ValueError, KeyError) as error:
        raise _unusable(path, f"a damaged file ({error})") from error
    if hashlib.sha256(memoryview(content)[LENGTH_BYTES + n_head :]).hexdigest() != digest:
        raise _unusable(path, "a file whose numbers have changed since it was written")
    return FeatureFile(tensors=tensors, facts=facts)


def _unusable(path: Path, found: str) -> DataError:
    return DataError(
        f"{path} cannot be used", expected="features", found=found, do="run 'retimbre preprocess' again"
    )

"""Adapters over their base: is it the one that they were learnt over, and what becomes of the two.

Nothing is folded here: whoever asks an `Explained` for its weights gets them with its adapters folded in.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from retimbre.checkpoint.digest import sha256_of
from retimbre.errors import CheckpointError
from retimbre.models.adapter import Adapter, BaseFile
from retimbre.models.description import Description
from retimbre.models.explain import Explained, matrices_of

N_SHOWN = 12  # digits of a hash


def adapted(found: Explained, adapters: Sequence[Adapter], *, sha256: str | None = None) -> Explained:
    """The model in a file with adapters over it, one after another; its description tells of them.

    Args:
        sha256: Of the file, where it is known already.

    Raises:
        CheckpointError: The file is not the base of one of them, or that does not fit.
    """
    if not adapters:
        return found
    path = found.contents.path
    for adapter in adapters:
        sha256 = _require_base(adapter, found, sha256 or sha256_of(path))
        _require_fit(adapter, found)
    return replace(
        found,
        adapters=(*found.adapters, *adapters),
        description=_described(found.description, path, sha256 or "", adapters),
    )


def base_file(found: Explained) -> BaseFile:
    """What adapters remember of the file that they are learnt over; all of it is read."""
    path = found.contents.path
    digest = weights_sha256(found.weights())
    return BaseFile(file=path.name, sha256=sha256_of(path), weights_sha256=digest)


def weights_sha256(tensors: Mapping[str, Tensor]) -> str:
    """Of names, shapes and numbers: the same for every file, whatever its format and type of numbers."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach()
        tensor = tensor.float() if tensor.is_floating_point() else tensor
        digest.update(f"{name} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _require_base(adapter: Adapter, found: Explained, sha256: str) -> str:
    """The same file, or one with the same weights; `sha256`, to go on with."""
    base, path = adapter.description.base, found.contents.path
    if found.family.name != adapter.description.family:
        raise CheckpointError(
            f"{adapter.path.name} is for another kind of network than {path.name}",
            expected=f"its base {base.file}, a {adapter.description.family}",
            found=f"{path.name}, a {found.family.name}",
            do="give the base that it was trained over",
        )
    if base.sha256 != sha256 and base.weights_sha256 != weights_sha256(found.weights()):
        raise CheckpointError(
            f"{adapter.path.name} was trained over another base than {path.name}",
            expected=f"{base.file} (sha256 {base.sha256[:N_SHOWN]}…), or the same weights in another format",
            found=f"{path.name} (sha256 {sha256[:N_SHOWN]}…)",
            do="give the base that it was trained over",
        )
    return sha256


def _require_fit(adapter: Adapter, found: Explained) -> None:
    matrices = matrices_of(found)
    for name, (down, up) in adapter.pairs.items():
        matrix = matrices.get(name)
        expected = (matrix.dim_out, matrix.dim_in) if matrix else None
        shapes = (tuple(down.shape), tuple(up.shape))
        is_pair = all(len(shape) == 2 for shape in shapes) and down.shape[0] == up.shape[1]
        if not is_pair or expected != (up.shape[0], down.shape[1]):
            raise CheckpointError(
                f"{adapter.path.name} does not fit {found.contents.path.name}",
                expected=f"matrices for '{name}' of {expected[1]} × {expected[0]}"
                if expected
                else "layers of the base",
                found=f"'{name}' with {shapes[0]} and {shapes[1]}",
                do="give the base that it was trained over",
            )


def _described(base: Description, path: Path, sha256: str, adapters: Sequence[Adapter]) -> Description:
    """Of the two together: the contacts of all, and where each of them comes from."""
    facts = [adapter.facts() for adapter in adapters]
    contacts = [each["lineage"].get("contact") for each in facts]
    lineage: dict[str, Any] = {
        "contact": "; ".join(dict.fromkeys(str(contact) for contact in contacts if contact)),
        "base": {"file": path.name, "sha256": sha256, "lineage": dict(base.lineage)},
        "adapters": facts,
    }
    return replace(base, step=base.step + max(each["step"] for each in facts), lineage=lineage)

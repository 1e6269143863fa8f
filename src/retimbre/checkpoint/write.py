"""Files with weights and facts, written so that a crash leaves either the old file or the new one."""

import json
import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from retimbre.errors import CheckpointError


def write_safetensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Tensors and plain text beside them; shared or strided tensors are written out in full."""
    own = owned(tensors)
    replace_file(path, lambda temporary: save_file(own, temporary, metadata=dict(metadata)))


def write_json(path: Path, content: object) -> None:
    """Indented JSON with a final line end; refuses NaN, which is not JSON."""
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    replace_file(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def write_torch_tensor(path: Path, tensor: Tensor) -> None:
    """One tensor in torch's own format, as EveryVoice reads predicted spectrograms."""
    write_torch(path, owned({"": tensor})[""])


def write_torch(path: Path, content: object) -> None:
    """Tensors and plain values as torch.save writes them, for the programs that read nothing else."""
    replace_file(path, lambda temporary: torch.save(content, temporary))


def owned(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Each in memory of its own: that of a tensor may be larger, and would be written whole."""
    return {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}


def write_text(path: Path, text: str) -> None:
    """UTF-8, with the line ends of `text`."""
    replace_file(path, lambda temporary: temporary.write_bytes(text.encode("utf-8")))


def replace_file(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` make a file beside `path`, force it to the disk, rename: nobody ever sees half a file."""
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_and_rename(path, write)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"{path} cannot be written", found=str(error), do="free space or choose another folder"
        ) from error


def _write_and_rename(path: Path, write: Callable[[Path], object]) -> None:
    temporary = path.with_name(f".{path.name[:100]}.{secrets.token_hex(4)}.part")
    try:
        temporary.touch()
        usual_mode = temporary.stat().st_mode
        write(temporary)
        temporary.chmod(usual_mode)  # safetensors makes files that only their owner can read
        force_to_disk(temporary)
        temporary.replace(path)
        force_to_disk(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def force_to_disk(path: Path) -> None:
    """Wait until a file, or the list of names in a folder, is on the disk."""
    if os.name == "nt" and path.is_dir():
        return  # Windows cannot open a folder
    handle = os.open(path, os.O_RDWR if path.is_file() else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

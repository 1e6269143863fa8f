"""Files with weights and facts, written so that a crash leaves either the old file or the new one."""

import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
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
    replace_file(path, lambda temporary: _save_with_torch(content, temporary))


def _save_with_torch(content: object, path: Path) -> None:
    try:
        torch.save(content, path)
    except RuntimeError as error:  # so torch calls a full disk, too
        raise OSError(str(error).splitlines()[0][:120]) from error


def owned(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Each in memory that no other has and that is no larger than itself: it would be written whole.

    Only what needs it is copied, so the result may lie in the same memory as `tensors`: write it, and do not
    change it.
    """
    own: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in tensors.items():
        plain = tensor.detach().cpu().contiguous()
        is_alone = plain.untyped_storage().nbytes() == plain.nbytes and plain.data_ptr() not in seen
        own[name] = plain if is_alone else plain.clone()
        seen.add(own[name].data_ptr())
    return own


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
        raise unwritable(path, error) from error


@contextmanager
def staged(folder: Path) -> Iterator[Path]:
    """A hidden folder in `folder`: what is written there is moved to `folder` at the end, or never seen.

    Files of the same names are replaced, in the order of their names; other files stay. Errors speak of
    `folder`.

    Raises:
        CheckpointError: nothing can be written in `folder`.
    """
    new_folders = [place for place in (folder, *folder.parents) if not place.exists()]
    aside = folder / f".{secrets.token_hex(4)}.part"
    try:
        aside.mkdir(parents=True)
        yield aside
        for path in sorted(aside.iterdir()):
            path.replace(folder / path.name)
        force_to_disk(folder)
    except OSError as error:
        raise _elsewhere(unwritable(folder, error), aside, folder) from error
    except CheckpointError as error:
        raise _elsewhere(error, aside, folder) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
        with suppress(OSError):  # they stay where there is something in them
            for place in new_folders:
                place.rmdir()


def _elsewhere(error: CheckpointError, aside: Path, folder: Path) -> CheckpointError:
    """The same error, of `folder`."""
    texts = (error.what, error.expected, error.found, error.do)
    what, expected, found, do = (text and text.replace(str(aside), str(folder)) for text in texts)
    return type(error)(what or "", expected=expected, found=found, do=do)


def unwritable(path: Path, error: Exception) -> CheckpointError:
    """What to say where the system refuses to write."""
    return CheckpointError(
        f"{path} cannot be written", found=str(error), do="free space or choose another folder"
    )


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

"""Small files of training material, written so that nobody ever reads half of one."""

import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from retimbre.errors import DataError

PART = ".part"
FORGOTTEN_AFTER_S = 60.0  # writing takes milliseconds


def write_with(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` make a file beside `path`, then rename it.

    Not forced to the disk, unlike weights: there are thousands of these, each has a digest of its content,
    and one that a power failure has spoilt is recognised and made again.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}{PART}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(part)
        part.replace(path)
    except OSError as error:
        raise DataError(
            f"{path} cannot be written", found=str(error), do="free space or choose another folder"
        ) from error
    finally:
        with suppress(NotADirectoryError):  # told above already
            part.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    """A whole file at once."""
    write_with(path, lambda part: part.write_bytes(content))


def write_text(path: Path, content: str) -> None:
    """UTF-8 with the line ends of `content`."""
    write_bytes(path, content.encode("utf-8"))


def sweep(folder: Path) -> None:
    """Remove the beginnings of files that a killed process has left behind."""
    for part in folder.rglob(f".*{PART}"):
        try:
            if time.time() - part.stat().st_mtime > FORGOTTEN_AFTER_S:
                part.unlink()
        except FileNotFoundError:
            continue  # its writer has just finished it

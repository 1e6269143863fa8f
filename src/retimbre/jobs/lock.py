"""One process at a time: a lock that the system takes back when its process ends, however it ends."""

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from retimbre.errors import RunError

if sys.platform == "win32":
    import msvcrt

    def _take(handle: int) -> None:
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _take(handle: int) -> None:
        # Not flock: that lock would live on in forked data workers whose parent was killed.
        fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


TAKEN = (errno.EACCES, errno.EAGAIN)


@contextmanager
def only_process(path: Path, what: str) -> Iterator[None]:
    """Hold the lock file `path` for a block. The file stays behind; only that it is held means something.

    Args:
        what: The thing that is worked on, for the message.

    Raises:
        RunError: if another process holds the lock, or if there can be no such file.
    """
    handle = _opened(path)
    try:
        _require_free(handle, what)
        yield
    finally:
        os.close(handle)


def _opened(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise RunError(
            f"{path} cannot be written", found=str(error), do="free space or choose another folder"
        ) from error


def _require_free(handle: int, what: str) -> None:
    try:
        _take(handle)
    except OSError as error:
        if error.errno not in TAKEN:
            return  # a file system without locks: going on without one is better than not at all
        raise RunError(
            f"another process works on {what}", do="wait until it ends, or stop it: only one can"
        ) from error

"""Digests: the SHA-256 of large files, worked out once for as long as they stay as they are."""

import json
import time
from contextlib import suppress
from pathlib import Path

from retimbre.checkpoint.digest import sha256_of
from retimbre.checkpoint.write import write_json
from retimbre.errors import CheckpointError

N_KEPT = 256  # files; the oldest are forgotten first
SETTLED_NS = 2_000_000_000  # clocks of file systems are coarse: a second change may leave no trace
Stamp = list[int]


class Digests:
    """Remembers which file had which hash, by its place, size and times of change.

    Args:
        record: A JSON file that outlasts the process; it may be deleted, damaged or impossible to write.
    """

    def __init__(self, record: Path | None = None) -> None:
        self._record = record
        self._known: dict[str, tuple[Stamp, str]] | None = None

    def of(self, path: Path) -> str:
        """As 64 hexadecimal digits."""
        known, place, stamp = self._read(), str(path.resolve()), _stamp(path)
        if place in known and known[place][0] == stamp:
            return known[place][1]
        digest = sha256_of(path)
        has_rested = time.time_ns() - max(stamp[1:]) > SETTLED_NS
        if has_rested and _stamp(path) == stamp:
            known.pop(place, None)
            known[place] = stamp, digest
            self._write(known)
        return digest

    def _read(self) -> dict[str, tuple[Stamp, str]]:
        if self._known is None:
            self._known = {}
            if self._record is not None:
                with suppress(OSError, ValueError, TypeError, AttributeError, RecursionError):
                    content = json.loads(self._record.read_text(encoding="utf-8"))
                    self._known = {str(place): _entry(*entry) for place, entry in content.items()}
        return self._known

    def _write(self, known: dict[str, tuple[Stamp, str]]) -> None:
        for place in list(known)[:-N_KEPT]:
            del known[place]
        if self._record is not None:
            with suppress(CheckpointError):  # then they are worked out again
                write_json(self._record, known)


def _stamp(path: Path) -> Stamp:
    """Size, and when content and place were last changed."""
    found = path.stat()
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns]


def _entry(stamp: object, digest: object) -> tuple[Stamp, str]:
    if not isinstance(stamp, list) or not all(type(each) is int for each in stamp):
        raise TypeError(f"no stamp: {stamp!r}")
    if not isinstance(digest, str) or len(digest) != 64:
        raise TypeError(f"no hash: {digest!r}")
    return stamp, digest

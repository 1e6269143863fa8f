"""Fetch a released file: resumed where it stopped, compared with its checksum, and then put under its name.

It comes into a folder of the user's, not into a hidden cache: it is inspected, converted and trained from by
its path, and stays when a cache is emptied. What is on its way lies in `.incomplete` in that folder.
"""

import hashlib
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from retimbre.checkpoint import hub
from retimbre.checkpoint.digest import sha256_of
from retimbre.checkpoint.fetch_record import Entry, read_record, write_record
from retimbre.checkpoint.released import Released
from retimbre.errors import FetchError, NoRoom

RESERVE_BYTES = 64 * 1024**2  # a disk is never filled to its last byte
OnProgress = Callable[[int, int | None], None]  # bytes that are there, bytes of the whole if that is known


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """A released file that is in its place."""

    file: Released
    path: Path
    was_there: bool
    sha256: str
    size_bytes: int
    commit: str | None  # that it is from, where the server or the record tells
    note: str = ""  # what the user should know about it

    def to_dict(self) -> dict[str, object]:
        """Plain values, for scripts."""
        return {
            "collection": self.file.collection,
            "name": self.file.name,
            "path": str(self.path),
            "status": "already there" if self.was_there else "fetched",
            "sha256": self.sha256,
            "is_checksum_known": self.file.sha256 is not None,
            "size_bytes": self.size_bytes,
            "repository": self.file.repository,
            "commit": self.commit,
            "licence": self.file.licence,
            "note": self.note,
        }

    def to_text(self) -> str:
        """One line, for people."""
        how = "already there" if self.was_there else "fetched"
        checked = "as it must be" if self.file.sha256 else "found; there is no known one to compare it with"
        commit = f", commit {self.commit[:8]}" if self.commit else ""
        note = f". {self.note}" if self.note else ""
        return (
            f"{self.path}: {how}, {in_units(self.size_bytes)}{commit}, licence: {self.file.licence}; "
            f"sha256 {self.sha256} {checked}{note}"
        )


def fetch(file: Released, folder: Path, *, revision: str | None = None, on_progress: OnProgress) -> Fetched:
    """Put a released file into `folder`, unless it is there.

    Args:
        revision: A commit, branch or tag instead of the one in the table.

    Raises:
        FetchError: without a connection; if the server has no such file; if another one is there, or arrives.
        NoRoom: if the disk is too small for it.
    """
    there = _already_there(file, folder, revision)
    if there:
        return there
    do = by_hand(file, folder, revision)
    if hub.is_offline():
        raise hub.no_connection(file, "HF_HUB_OFFLINE is set", do)
    remote = hub.look_up(file, revision or file.revision, do=do)
    incomplete = folder / ".incomplete"
    incomplete.mkdir(parents=True, exist_ok=True)
    with hub.alone(incomplete / "lock"):
        there = _already_there(file, folder, revision)  # another process may have been quicker
        return there or _arrived(file, folder, remote, revision, on_progress, do)


def by_hand(file: Released, folder: Path, revision: str | None) -> str:
    """How to do without us: where the file lies, where it belongs, and which hash it must have."""
    must = f"its sha256 must be {file.sha256}" if file.sha256 else "no checksum of it is known"
    source = hub.address(file, revision or file.revision)
    return f"get {source} in another way and put it at {folder / file.local_name} ({must})"


def in_units(size_bytes: int) -> str:
    """As people read it: 239.9 MB."""
    size, units = float(size_bytes), ["bytes", "kB", "MB", "GB", "TB"]
    while size >= 1000 and len(units) > 1:
        size /= 1000
        units.pop(0)
    return f"{size:.0f} {units[0]}" if units[0] == "bytes" else f"{size:.1f} {units[0]}"


def _already_there(file: Released, folder: Path, revision: str | None) -> Fetched | None:
    """What lies at its place, if that is the file. Nothing there is ever replaced unless we fetched it."""
    path = folder / file.local_name
    if not path.exists():
        return None
    sha256, entry = sha256_of(path), read_record(folder).get(file.local_name)
    must_be = file.sha256 or (entry.sha256 if entry else None)
    is_asked_for = revision is None or (entry is not None and revision in (entry.revision, entry.commit))
    if must_be not in (None, sha256) or (must_be is None and not is_asked_for):
        raise FetchError(
            f"{path} is another file",
            expected=f"sha256 {must_be}" if must_be else f"{file.path} of revision {revision}",
            found=f"sha256 {sha256}",
            do="move it away, or fetch into another folder with --output",
        )
    if not file.sha256 and not is_asked_for:
        return None  # ours, of another revision
    return Fetched(
        file=file,
        path=path,
        was_there=True,
        sha256=sha256,
        size_bytes=path.stat().st_size,
        commit=entry.commit if entry else None,
        note=""
        if must_be
        else "It was not fetched by Retimbre, so nothing tells whether it is the released file",
    )


def _arrived(
    file: Released,
    folder: Path,
    remote: hub.Remote,
    revision: str | None,
    on_progress: OnProgress,
    do: str,
) -> Fetched:
    part = _part_of(file, folder, remote)
    limit_bytes = _room_for(file, folder, part, remote.size_bytes)
    hub.download(
        file,
        remote,
        part,
        limit_bytes=limit_bytes,
        on_bytes=lambda there: on_progress(there, remote.size_bytes),
        do=do,
    )
    path = folder / file.local_name
    sha256 = _required_hash(file, part, path, remote)
    os.replace(part, path)
    for stale in part.parent.glob(f"{file.local_name}.*"):
        stale.unlink()  # of other revisions, given up
    entry = Entry(
        repository=file.repository,
        path=file.path,
        revision=revision or file.revision,
        commit=remote.commit,
        sha256=sha256,
        size_bytes=path.stat().st_size,
        fetched_at=datetime.now(UTC).isoformat(timespec="seconds"),
        licence=file.licence,
    )
    before = write_record(folder, file.local_name, entry)
    return Fetched(
        file=file,
        path=path,
        was_there=False,
        sha256=sha256,
        size_bytes=entry.size_bytes,
        commit=remote.commit,
        note=_changed_since(before, entry),
    )


def _part_of(file: Released, folder: Path, remote: hub.Remote) -> Path:
    """Where it lies on its way: what is resumed must be the same content, and a server names no paths."""
    identity = "\n".join(
        (file.repository, file.path, remote.commit or "", remote.etag, str(remote.size_bytes))
    )
    return folder / ".incomplete" / f"{file.local_name}.{hashlib.sha256(identity.encode()).hexdigest()[:16]}"


def _room_for(file: Released, folder: Path, part: Path, size_bytes: int | None) -> int:
    """How many bytes may arrive: as many as announced, or as the disk can take."""
    have = part.stat().st_size if part.exists() else 0
    free = shutil.disk_usage(folder).free
    if size_bytes is None:
        return max(free - RESERVE_BYTES, 0)
    if size_bytes - have + RESERVE_BYTES > free:
        raise NoRoom(
            f"the disk has too little room for {file.local_name}",
            expected=f"{in_units(size_bytes - have + RESERVE_BYTES)} free at {folder}",
            found=in_units(free),
            do="free space, or fetch into another folder with --output",
        )
    return size_bytes


def _required_hash(file: Released, part: Path, path: Path, remote: hub.Remote) -> str:
    """The hash of what arrived; a wrong file is put aside under another name."""
    sha256, must_be = sha256_of(part), file.sha256 or remote.announced_sha256
    if must_be in (None, sha256):
        return sha256
    aside = path.with_name(f"{path.name}.wrong-{sha256[:8]}")
    os.replace(part, aside)
    raise FetchError(
        f"{file.path} of {file.repository} is not what it must be, so it was not put at {path}",
        expected=f"sha256 {must_be}{'' if file.sha256 else ', which the server announced'}",
        found=f"sha256 {sha256}, kept as {aside}",
        do="run the command again; if it stays so, do not use it, and try another server (HF_ENDPOINT)",
    )


def _changed_since(before: Entry | None, now: Entry) -> str:
    if before is None or before.sha256 == now.sha256:
        return ""
    return f"It is another file than the one of {before.fetched_at}, whose sha256 was {before.sha256}"

"""Facts in a WAV file beside its sound: how it was made, where players look for a comment.

They stand in a LIST chunk of kind INFO after the samples ("Multimedia Programming Interface and Data
Specifications 1.0", IBM and Microsoft 1991): ISFT names the program, ICMT holds the facts as JSON. Whoever
does not know the chunk skips it.
"""

import json
import struct
from collections.abc import Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO

from retimbre import __version__
from retimbre.errors import AudioError

SOFTWARE = f"retimbre {__version__}"
MOST_BYTES = 1 << 24  # of a chunk that is read; sound is passed over
HEAD = struct.Struct("<4sI")  # of a chunk: what it is, and how long


def add_facts(path: Path, facts: Mapping[str, Any]) -> None:
    """Put facts, plain values as JSON knows them, at the end of a WAV file that has none yet.

    Raises:
        AudioError: if the file cannot be written.
    """
    comment = json.dumps(dict(facts), allow_nan=False)  # in ASCII, which every player can show
    info = _chunk(b"LIST", b"INFO" + _text(b"ISFT", SOFTWARE) + _text(b"ICMT", comment))
    try:
        with path.open("r+b") as file:
            riff, n_bytes = HEAD.unpack(file.read(HEAD.size))
            file.seek(HEAD.size + n_bytes)
            file.write(info)
            file.seek(0)
            file.write(HEAD.pack(riff, n_bytes + len(info)))
    except OSError as error:
        raise AudioError(f"{path} cannot be written", found=str(error)) from error


def facts_of(path: str | PathLike[str]) -> dict[str, Any]:
    """The facts in a WAV file; empty where there are none, or where it is another kind of file.

    Raises:
        AudioError: if the file cannot be read at all.
    """
    try:
        with Path(path).open("rb") as file:
            comments = [text for name, text in _texts(file) if name == b"ICMT"]
    except OSError as error:
        raise AudioError(f"{path} cannot be read", found=error.strerror or str(error)) from error
    try:
        facts = json.loads(comments[0]) if comments else {}
    except (ValueError, RecursionError):
        return {}  # somebody's comment in words
    return facts if isinstance(facts, dict) else {}


def _texts(file: BinaryIO) -> Iterator[tuple[bytes, str]]:
    """Name and text of each entry in the first list of them."""
    if file.read(4) != b"RIFF" or file.read(8)[4:] != b"WAVE":
        return
    for name, content in _chunks(file):
        if name == b"LIST" and content.startswith(b"INFO"):
            yield from ((each, _shown(text)) for each, text in _split(content[4:]))
            return


def _chunks(file: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    """Name and content of each chunk; nothing of the sound and of what is too long to be a list."""
    while len(head := file.read(HEAD.size)) == HEAD.size:
        name, n_bytes = HEAD.unpack(head)
        if name == b"LIST" and n_bytes <= MOST_BYTES:
            yield name, file.read(n_bytes)
            file.seek(n_bytes % 2, 1)
        else:
            file.seek(n_bytes + n_bytes % 2, 1)


def _split(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 0
    while at + HEAD.size <= len(content):
        name, n_bytes = HEAD.unpack_from(content, at)
        begin = at + HEAD.size
        yield name, content[begin : begin + n_bytes]
        at = begin + n_bytes + n_bytes % 2


def _shown(text: bytes) -> str:
    return text.split(b"\0")[0].decode("utf-8", errors="replace")


def _text(name: bytes, text: str) -> bytes:
    return _chunk(name, text.encode() + b"\0")


def _chunk(name: bytes, content: bytes) -> bytes:
    """Content that begins at an even place, and so must what follows it."""
    return HEAD.pack(name, len(content)) + content + b"\0" * (len(content) % 2)

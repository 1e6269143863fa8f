"""The bytes of a pickle -> opcodes and their arguments, none of which is larger than it may be.

The table of opcodes is that of the standard library; its own reader would first read an argument and then say
how large it is.
"""

# ruff: noqa: ANN401 (an argument may be anything)

import pickletools
import struct
from collections.abc import Callable
from io import BytesIO
from typing import Any

MAX_LINE_BYTES = 4_096  # of an argument that ends with a line, as in the oldest protocol
MAX_TEXT_BYTES = 1 << 25  # of one text: each byte may become four in memory
MAX_NUMBER_BYTES = 128  # of one whole number

FIXED = {"uint1": "<B", "uint2": "<H", "int4": "<i", "uint4": "<I", "uint8": "<Q", "float8": ">d"}
COUNTS = {  # how the length of an argument stands before it
    pickletools.TAKEN_FROM_ARGUMENT1: "<B",
    pickletools.TAKEN_FROM_ARGUMENT4: "<i",
    pickletools.TAKEN_FROM_ARGUMENT4U: "<I",
    pickletools.TAKEN_FROM_ARGUMENT8U: "<Q",
}

Reader = Callable[[memoryview, int], tuple[Any, int]]  # content, place -> argument, place behind it


def opcode_at(content: memoryview, at: int) -> tuple[str, Any, int]:
    """Name and argument of the opcode that begins at a place, and the place behind it.

    Raises:
        ValueError: for what is no pickle, or an argument too large for a list of contents.
        IndexError: where the bytes end before the pickle does.
    """
    if at >= len(content):
        raise IndexError("the bytes end before the list does")
    name, read = TABLE[content[at]]
    argument, end = read(content, at + 1)
    return name, argument, end


def _nothing(_: memoryview, at: int) -> tuple[None, int]:
    return None, at


def _unknown(content: memoryview, at: int) -> tuple[Any, int]:
    raise ValueError(f"the byte {content[at - 1]:#x} is no opcode")


def _fixed(form: str) -> Reader:
    layout = struct.Struct(form)

    def read(content: memoryview, at: int) -> tuple[Any, int]:
        end = at + layout.size
        if end > len(content):
            raise IndexError("an opcode without its argument")
        return layout.unpack_from(content, at)[0], end

    return read


def _counted(argument: pickletools.ArgumentDescriptor) -> Reader:
    count = _fixed(COUNTS[argument.n])
    limit = MAX_NUMBER_BYTES if argument.name.startswith("long") else None

    def read(content: memoryview, at: int) -> tuple[Any, int]:
        n_bytes, begins = count(content, at)
        if limit is not None and n_bytes > limit:
            raise ValueError("a number of thousands of digits")
        if not 0 <= n_bytes <= len(content) - begins:
            raise IndexError(f"an argument of {n_bytes} bytes, where {len(content) - begins} are left")
        if not argument.name.startswith("byte") and n_bytes > MAX_TEXT_BYTES:
            raise ValueError("more text than any list of contents has")
        end = begins + n_bytes
        return argument.reader(BytesIO(content[at:end])), end

    return read


def _line(argument: pickletools.ArgumentDescriptor) -> Reader:
    def read(content: memoryview, at: int) -> tuple[Any, int]:
        lines = BytesIO(content[at : at + MAX_LINE_BYTES])
        return argument.reader(lines), at + lines.tell()

    return read


def _reader_of(argument: pickletools.ArgumentDescriptor | None) -> Reader:
    if argument is None:
        return _nothing
    if argument.n == pickletools.UP_TO_NEWLINE:
        return _line(argument)
    return _fixed(FIXED[argument.name]) if argument.name in FIXED else _counted(argument)


KNOWN = {ord(opcode.code): (opcode.name, _reader_of(opcode.arg)) for opcode in pickletools.opcodes}
TABLE = tuple(KNOWN.get(byte, ("", _unknown)) for byte in range(256))

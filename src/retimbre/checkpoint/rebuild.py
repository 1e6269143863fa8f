"""What the names in a pickle stand for: our own inert values, never the thing that is named.

A pickle says "take the thing called M.N and call it with these arguments". Here a name is a `Global`, a text
in a box. `construct` looks it up in one table of our own functions, which make tensors (as `Stored`: a shape
and a place in the file) and plain values. Every other name gives a `Note`, which keeps what it is handed.
Nothing is imported and nothing of the file is ever called.
"""

# ruff: noqa: ANN401 (a pickle may hold anything in any place)

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import prod
from types import NoneType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from retimbre.checkpoint.refuse import refuse_code, unsafe


@dataclass(frozen=True, slots=True)
class Global:
    """The name of something outside the file."""

    name: str


@dataclass(eq=False, slots=True)
class Note:
    """What would have become an object of a class that we do not build."""

    name: str
    args: tuple[Any, ...] = ()
    state: Any = None
    listed: list[Any] = field(default_factory=list)
    mapped: dict[Any, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Storage:
    """A run of bytes in the file, as the pickle declares it; `dtype` is None where it is untyped."""

    key: str
    dtype: torch.dtype | None
    n_bytes: int
    offset_bytes: int = 0  # of a part of a storage, in legacy files
    location: str = "cpu"  # label of the device that it was on


@dataclass(frozen=True, eq=False)
class Stored:
    """A tensor that has not been read yet; `offset` and `stride` count elements."""

    storage: Storage
    dtype: torch.dtype
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    is_conjugated: bool = False
    is_negated: bool = False

    @property
    def span_bytes(self) -> int:
        """From its first number to the end of the last, in the order of the storage."""
        return _span(self.shape, self.stride) * self.dtype.itemsize

    @property
    def parts(self) -> "tuple[Stored, ...]":
        """The tensors in the file that it is made of: itself."""
        return (self,)


@dataclass(frozen=True, eq=False)
class Sparse:
    """A tensor of which only some values are written: `values`, each with its place, a column of `places`."""

    places: Stored
    values: Stored
    shape: tuple[int, ...]

    @property
    def dtype(self) -> torch.dtype:
        """That of its values."""
        return self.values.dtype

    @property
    def parts(self) -> tuple[Stored, ...]:
        """The tensors in the file that it is made of."""
        return self.places, self.values


@dataclass(eq=False)
class NumpyDtype:
    """A numpy type under construction: its byte order arrives later."""

    code: str
    order: str = "="

    def build(self, state: Any) -> None:
        """Take the byte order; records with fields stay unreadable."""
        is_simple = isinstance(state, tuple) and len(state) > 3 and state[2] is None and state[3] is None
        self.order = state[1] if is_simple else "?"

    def dtype(self) -> "np.dtype[Any]":
        """The type, if it is one of plain numbers or text."""
        if not re.fullmatch(r"b1|[iu][1248]|f[248]|c8|c16|[SU]\d{1,4}", self.code) or self.order not in (
            "<",
            ">",
            "|",
            "=",
        ):
            raise ValueError(f"numpy type {self.code[:20]!r}")
        return np.dtype(self.order + self.code)


@dataclass(eq=False)
class NumpyArray:
    """A numpy array under construction."""

    values: NDArray[np.generic] | None = None

    def build(self, state: Any) -> None:
        """Take shape, type and bytes; arrays of Python objects stay unread."""
        _, shape, kind, is_fortran, data = state
        if isinstance(data, bytes) and isinstance(kind, NumpyDtype):
            flat = np.frombuffer(data, kind.dtype())
            self.values = flat.reshape(_sizes(shape), order="F" if is_fortran else "C")


MAX_SIZES = 64  # of one tensor; torch's own limit
MAX_KEY_PARTS = 64
MAX_KEY_LENGTH = 5_000  # characters
MAX_ITEMS = 1 << 59  # of one tensor: their bytes must be countable in 63 bits


def construct(callee: Any, args: Any) -> Any:
    """What calling `callee` would have given, without calling it."""
    if not isinstance(callee, Global) or not isinstance(args, tuple):
        # The result of another call, such as a partial function: as inert as that one.
        if isinstance(callee, Note):
            return Note(callee.name, args if isinstance(args, tuple) else ())
        raise ValueError(f"a {type(callee).__name__} is called")
    build = BUILDERS.get(callee.name)
    return build(*args) if build else Note(callee.name, args)


def _sizes(values: Any) -> tuple[int, ...]:
    if not isinstance(values, tuple | list) or len(values) > MAX_SIZES:
        raise ValueError(f"more than {MAX_SIZES} sizes")
    if any(type(value) is not int or not 0 <= value < 1 << 63 for value in values):
        raise ValueError("sizes that are no whole numbers")
    return tuple(values)


def _tensor(storage: Any, offset: Any, shape: Any, stride: Any, *rest: Any) -> Stored:
    metadata = rest[2] if len(rest) > 2 else None
    return _stored(storage, storage.dtype, offset, shape, stride, metadata)


def _tensor_v3(storage: Any, offset: Any, shape: Any, stride: Any, *rest: Any) -> Stored:
    dtype = DTYPES[rest[2].name]
    return _stored(storage, dtype, offset, shape, stride, rest[3] if len(rest) > 3 else None)


def _stored(storage: Any, dtype: Any, offset: Any, shape: Any, stride: Any, metadata: Any) -> Stored:
    if not isinstance(storage, Storage) or dtype is None:
        raise ValueError("a tensor without a storage")
    flags = metadata if isinstance(metadata, dict) else {}
    (offset,), shape, stride = _sizes((offset,)), _sizes(shape), _sizes(stride)
    if len(shape) != len(stride) or len(shape) > MAX_SIZES:
        raise ValueError(f"a tensor of {len(shape)} sizes and {len(stride)} strides")
    if prod(max(size, 1) for size in shape) > MAX_ITEMS:  # an empty tensor, too: torch multiplies first
        raise ValueError(f"a tensor of shape {shape}")
    span = _span(shape, stride)
    if (offset + span) * dtype.itemsize > storage.n_bytes and span > 0:
        raise ValueError(f"a tensor of shape {shape} beyond its storage of {storage.n_bytes} bytes")
    return Stored(storage, dtype, offset, shape, stride, bool(flags.get("conj")), bool(flags.get("neg")))


def _span(shape: tuple[int, ...], stride: tuple[int, ...]) -> int:
    """Elements from the first to behind the last, in the order of the storage."""
    return 0 if 0 in shape else 1 + sum((n - 1) * step for n, step in zip(shape, stride, strict=True))


def _sparse(layout: Any, data: Any) -> Sparse | Note:
    """Sparse as a list of places; what other layouts hold stays unread."""
    if layout != "torch.sparse_coo":
        return Note("torch._utils._rebuild_sparse_tensor")
    places, values, shape = data[0], data[1], _sizes(data[2])
    if not isinstance(places, Stored) or not isinstance(values, Stored) or places.dtype != torch.int64:
        raise ValueError("a sparse tensor without its values")
    if prod(max(size, 1) for size in shape) > MAX_ITEMS:
        raise ValueError(f"a tensor of shape {shape}")
    return Sparse(places, values, shape)


def _first(value: Any = None, *_: Any) -> Any:
    return value


def _from_type(builder: Any, _kind: Any, args: Any, *_: Any) -> Any:
    """A tensor of a subclass: its values are those of an ordinary tensor."""
    if not isinstance(builder, Global) or not builder.name.startswith("torch._utils._rebuild"):
        return Note("torch._tensor._rebuild_from_type_v2")
    return construct(builder, args)


def _mapping(pairs: Any = (), *_: Any) -> dict[Any, Any]:
    return dict(pairs) if isinstance(pairs, dict) else {key_of(key): value for key, value in pairs}


def _default_mapping(_factory: Any = None, pairs: Any = (), *_: Any) -> dict[Any, Any]:
    return _mapping(pairs)


def _list(values: Any = ()) -> list[Any]:
    return list(_values(values))


def _set(values: Any = ()) -> set[Any]:
    return {key_of(value) for value in _values(values)}


def _tuple(values: Any = ()) -> tuple[Any, ...]:
    return tuple(_values(values))


def _values(values: Any) -> Any:
    if not isinstance(values, list | tuple | set | frozenset):
        raise ValueError(f"a {type(values).__name__} is taken for a list")
    return values


def _bytes(text: Any = b"", encoding: Any = "latin1") -> bytes:
    if isinstance(text, str) and encoding in ("latin1", "latin-1", "utf-8", "ascii"):
        return text.encode(encoding)
    if isinstance(text, bytes | bytearray):
        return bytes(text)
    raise ValueError(f"bytes made of a {type(text).__name__}")


def _complex(real: Any, imaginary: Any = 0.0) -> complex:
    return complex(float(real), float(imaginary))


def _device(kind: Any, index: Any = None) -> str:
    if not isinstance(kind, str) or not isinstance(index, int | None):
        raise ValueError("a device without a name")
    return kind if index is None else f"{kind}:{index}"


def _size(values: Any = ()) -> tuple[int, ...]:
    return _sizes(values)


def _numpy_dtype(code: Any, *_: Any) -> NumpyDtype:
    return NumpyDtype(str(code) if isinstance(code, str) else "?")


def _numpy_array(*_: Any) -> NumpyArray:
    return NumpyArray()


def _numpy_scalar(kind: Any, data: Any = b"") -> Any:
    if not isinstance(kind, NumpyDtype) or not isinstance(data, bytes):
        return Note("numpy scalar")
    try:
        return np.frombuffer(data, kind.dtype(), count=1)[0].item()
    except SystemError as error:  # numbers that are no characters
        raise ValueError("a numpy text of no characters") from error


def _attribute(owner: Any = None, name: Any = None, *_: Any) -> Note:
    """Python 3.11 wrote members of an enum as getattr(Class, "MEMBER"): that much is a plain value."""
    if (
        len(_)
        or not isinstance(owner, Global)
        or not isinstance(name, str)
        or not re.fullmatch(r"[A-Za-z]\w*", name)
    ):
        raise unsafe("builtins.getattr")
    refuse_code(f"{owner.name}.{name}")
    return Note(owner.name, (name,))


class TupleKey(tuple[Any, ...]):
    """A tuple as a key. Python's own hash of tuples can be foreseen, so that a file could make all alike."""

    __slots__ = ()

    def __hash__(self) -> int:
        return hash(repr(tuple(self)))


def key_of(value: Any) -> Any:
    """`value` as a key or a member of a set, if it costs little time to hash and to show."""
    parts = value if isinstance(value, tuple) else (value,)
    if len(parts) > MAX_KEY_PARTS or not all(_is_simple(part) for part in parts):
        raise ValueError(f"a key of type {type(value).__name__}")
    if sum(len(part) for part in parts if isinstance(part, str | bytes)) > MAX_KEY_LENGTH:
        raise ValueError("a key of thousands of characters")
    return TupleKey(value) if isinstance(value, tuple) else value


def _is_simple(part: Any) -> bool:
    if isinstance(part, int):  # the hash of larger ones is a remainder: many could be made alike
        return part.bit_length() < 61
    return isinstance(part, NoneType | float | str | bytes | Global | Note | Stored)


STORAGES: Mapping[str, torch.dtype | None] = {
    "torch.DoubleStorage": torch.float64,
    "torch.FloatStorage": torch.float32,
    "torch.HalfStorage": torch.float16,
    "torch.BFloat16Storage": torch.bfloat16,
    "torch.LongStorage": torch.int64,
    "torch.IntStorage": torch.int32,
    "torch.ShortStorage": torch.int16,
    "torch.CharStorage": torch.int8,
    "torch.ByteStorage": torch.uint8,
    "torch.BoolStorage": torch.bool,
    "torch.ComplexFloatStorage": torch.complex64,
    "torch.ComplexDoubleStorage": torch.complex128,
    "torch.storage.UntypedStorage": None,
    "torch.UntypedStorage": None,
}

DTYPES: Mapping[str, torch.dtype] = {
    str(dtype): dtype
    for dtype in (
        torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2,
        torch.int64, torch.int32, torch.int16, torch.int8, torch.uint64, torch.uint32, torch.uint16,
        torch.uint8, torch.bool, torch.complex64, torch.complex128,
    )
}  # fmt: skip

BUILTINS: Mapping[str, Callable[..., Any]] = {
    "set": _set, "frozenset": _set, "list": _list, "tuple": _tuple, "dict": _mapping, "bytes": _bytes,
    "bytearray": _bytes, "complex": _complex, "getattr": _attribute,
}  # fmt: skip
NUMPY: Mapping[str, Callable[..., Any]] = {"scalar": _numpy_scalar, "_reconstruct": _numpy_array}

BUILDERS: Mapping[str, Callable[..., Any]] = {
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _tensor_v3,
    "torch._utils._rebuild_sparse_tensor": _sparse,
    "torch._utils._rebuild_parameter": _first,
    "torch._utils._rebuild_parameter_with_state": _first,
    "torch._tensor._rebuild_from_type_v2": _from_type,
    "torch.Size": _size,
    "torch.device": _device,
    "torch.serialization._get_layout": _first,
    "collections.OrderedDict": _mapping,
    "collections.defaultdict": _default_mapping,
    "collections.Counter": _mapping,
    "_codecs.encode": _bytes,
    "numpy.dtype": _numpy_dtype,
    **{f"builtins.{name}": build for name, build in BUILTINS.items()},
    **{f"__builtin__.{name}": build for name, build in BUILTINS.items()},  # Python 2's name, and protocol 2's
    **{f"numpy.core.multiarray.{name}": build for name, build in NUMPY.items()},
    **{f"numpy._core.multiarray.{name}": build for name, build in NUMPY.items()},
}

KNOWN_NAMES = frozenset(
    {*BUILDERS, *STORAGES, *DTYPES, "numpy.ndarray", "torch.Tensor", "torch.nn.parameter.Parameter"}
)

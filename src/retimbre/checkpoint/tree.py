"""The value of a pickle, sorted: the dictionary that holds the weights, and the rest as plain values."""

# ruff: noqa: ANN401 (a file may hold anything in any place)

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import prod
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

from retimbre.checkpoint.allowance import Allowance
from retimbre.checkpoint.rebuild import Global, Note, NumpyArray, NumpyDtype, Sparse, Storage, Stored
from retimbre.errors import CheckpointError

MAX_DEPTH = 100
MAX_VALUES = 300_000
PRICE_OF_TENSOR = 5  # values
MAX_PATH = 5_000  # characters of the way to a tensor
MAX_PARTS = 64  # of the path of a file
WEIGHTS_DEPTH = 5
TRAINING_STATE = frozenset({  # tensors below these names are no weights
    "optimizer", "optimizers", "optimizer_states", "optimizer_state_dict", "optim", "optim_g", "optim_d",
    "opt", "lr_schedulers", "scheduler", "schedulers", "callbacks", "loops", "hyper_parameters", "scaler",
    "rng_state",
    "model_d",  # UnivNet's discriminators, beside model_g
})  # fmt: skip
PARTS_OF_ONE = ("generator", "mpd", "msd")  # HiFi-GAN spreads one model over several dictionaries

Way = tuple[Any, ...]  # nested pairs: the way to the value around, and the key; () at the top
Tensors = dict[str, Stored | Sparse]


@dataclass(frozen=True)
class Weights:
    """The dictionary with the weights; `at` is its path.

    `""` is the top of the file, `.` a file of one bare tensor, None one without weights.
    """

    at: str | None
    tensors: Tensors = field(default_factory=dict)


def weights_in(tree: Any) -> Weights:
    """The weights of a file: the dictionary with the most tensors, training state apart."""
    if isinstance(tree, Stored | Sparse):
        return Weights(".", {".": tree})
    parts = {name: _tensors(tree.get(name)) for name in PARTS_OF_ONE} if isinstance(tree, dict) else {}
    parts = {name: tensors for name, tensors in parts.items() if tensors}
    if len(parts) > 1:
        joined = {
            f"{part}.{name}": tensor for part, tensors in parts.items() for name, tensor in tensors.items()
        }
        return Weights(", ".join(parts), joined)
    if _is_collection(tree):
        tensors = plain(tree)[1]
        return Weights("" if tensors else None, tensors)
    found = max(_dictionaries(tree), key=lambda pair: len(pair[1]), default=None)
    if found:
        return Weights(_path(found[0]), found[1])
    return Weights("" if isinstance(tree, dict) and not tree else None)


def plain(tree: Any, *, without: Tensors | None = None) -> tuple[Any, Tensors]:
    """The rest as JSON would know it, and the tensors in it by their path.

    Objects that were not built become what they hold: a path its text, an element of an enum its value, a
    config object a dictionary.
    """
    walk = _Walk(skip={id(stored) for stored in (without or {}).values()})
    return walk.plain(tree, (), 0), walk.tensors


def pickled_network(tree: Any) -> str | None:
    """The class of a network that was pickled as a whole, instead of its weights."""
    values = [tree, *(tree.values() if isinstance(tree, dict) else ())]
    for value in values:
        if isinstance(value, Note) and isinstance(value.state, dict) and "_parameters" in value.state:
            return ascii(value.name)[1:-1]
    return None


def _is_collection(tree: Any) -> bool:
    """Is it a list of things and no model: a tuple of latents, or speakers who all have the same tensors?"""
    if isinstance(tree, list | tuple):
        return True
    if not isinstance(tree, dict) or not tree:
        return False
    if not any(isinstance(key, str) for key in tree):
        return True
    each = [_tensors(value) for value in tree.values()]
    first = each[0].keys()
    is_model = any("." in name for name in first) or len(each) < 2 or not first
    return not is_model and all(tensors.keys() == first for tensors in each)


def _dictionaries(tree: Any) -> Iterator[tuple[Way, Tensors]]:
    """Every dictionary with tensors in it and the way to it, the outer ones first."""
    waiting: deque[tuple[Way, Any, int]] = deque([((), tree, 0)])
    seen: set[int] = set()
    while waiting:
        way, value, depth = waiting.popleft()
        if id(value) in seen or not isinstance(value, dict):
            continue
        seen.add(id(value))
        tensors = _tensors(value)
        if tensors:
            yield way, tensors
        if depth < WEIGHTS_DEPTH:
            waiting.extend(
                ((way, key), inner, depth + 1)
                for key, inner in value.items()
                if isinstance(key, str) and key not in TRAINING_STATE
            )


def _tensors(value: Any) -> Tensors:
    if not isinstance(value, dict):
        return {}
    return {
        _shown(key): inner
        for key, inner in value.items()
        if isinstance(key, str) and isinstance(inner, Stored | Sparse)
    }


def _path(way: Way) -> str:
    """The keys on a way, joined with slashes."""
    keys: list[str] = []
    while way:
        way, key = way
        keys.append(_key(key))
        if sum(map(len, keys)) > MAX_PATH:
            raise CheckpointError("the way to a tensor in the file has thousands of characters")
    return _shown("/".join(reversed(keys)))


def _shown(name: str) -> str:
    """The name of a tensor, which will be written and printed."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError as error:
        raise CheckpointError(
            "the name of a tensor holds half a character", found=ascii(name)[1:-1][:80]
        ) from error
    return name


class _Walk:
    """Goes through a tree, to a limited depth and number: a pickle can hold itself, or billions in a page."""

    def __init__(self, skip: set[int]) -> None:
        self.tensors: Tensors = {}
        self._skip = skip
        self._allowance = Allowance(MAX_VALUES)

    def plain(self, value: Any, way: Way, depth: int) -> Any:
        self._allowance.spend(1)
        if depth > MAX_DEPTH:
            raise CheckpointError("the values in the file are nested without end")
        if isinstance(value, Stored | Sparse):
            if id(value) not in self._skip:
                path = _path(way) or "."
                self._allowance.spend(PRICE_OF_TENSOR)
                self._allowance.spend_on(path)
                self.tensors[path] = value
            return None
        if isinstance(value, dict):
            return self._mapping(value, way, depth)
        if isinstance(value, list | tuple | set):
            inner = [self.plain(item, (way, i), depth + 1) for i, item in enumerate(value)]
            return tuple(inner) if isinstance(value, tuple) else inner
        if isinstance(value, Note):
            return self._note(value, way, depth)
        return self._leaf(value)

    def _mapping(self, value: dict[Any, Any], way: Way, depth: int) -> dict[str, Any]:
        self._allowance.spend_on(value)
        return {
            _key(key): self.plain(inner, (way, key), depth + 1)
            for key, inner in value.items()
            if not self._is_skipped(inner)
        }

    def _is_skipped(self, value: Any) -> bool:
        """Is it a weight, or a dictionary of nothing else?"""
        if not isinstance(value, dict) or not value:
            return id(value) in self._skip
        self._allowance.spend_on(value)
        return all(id(each) in self._skip for each in value.values())

    def _note(self, note: Note, way: Way, depth: int) -> Any:
        if note.name.startswith("pathlib"):
            return self._path_text(note)
        state = _state(note.state)
        if state or note.mapped:
            self._allowance.spend_on(state)
            return self._mapping({**state, **note.mapped}, way, depth + 1)
        if note.listed or len(note.args) != 1:
            return self.plain(note.listed or note.args, way, depth + 1)
        return self.plain(note.args[0], way, depth + 1)

    def _path_text(self, note: Note) -> str:
        parts = [part for part in note.args[:MAX_PARTS] if isinstance(part, str)]
        self._allowance.spend(len(parts))
        for part in parts:
            self._allowance.spend_on(part)
        return _text(str((PureWindowsPath if "Windows" in note.name else PurePosixPath)(*parts)))

    def _leaf(self, value: Any) -> Any:
        if isinstance(value, Global | str):
            text = value.name if isinstance(value, Global) else value
            self._allowance.spend_on(text)
            return _text(text)
        if isinstance(value, NumpyArray):
            return self._array(value)
        if isinstance(value, NumpyDtype):
            return _text(value.code)
        return None if isinstance(value, Storage) else value

    def _array(self, array: NumpyArray) -> Any:
        """As lists; those of an array without numbers are counted, too."""
        if array.values is None:
            return None
        self._allowance.spend(prod(max(size, 1) for size in array.values.shape))
        self._allowance.spend(array.values.nbytes // 8)
        try:
            values = array.values.tolist()
        except (ValueError, SystemError):  # numbers that are no characters
            return None
        return (
            self.plain(values, (), MAX_DEPTH - array.values.ndim)
            if array.values.dtype.kind == "U"
            else values
        )


def _state(state: Any) -> dict[Any, Any]:
    """The attributes in an object's state: a dictionary, or one beside another for __slots__."""
    if isinstance(state, tuple) and len(state) == 2:
        first, second = state  # either may be None
        return {**_attributes(first), **_attributes(second)}
    return _attributes(state)


def _attributes(state: Any) -> dict[Any, Any]:
    if not isinstance(state, dict):
        return {}
    fields = state.get("__dict__")  # pydantic keeps its own affairs beside it
    return fields if isinstance(fields, dict) else state


def _key(key: Any) -> str:
    if isinstance(key, tuple):
        return f"({', '.join(repr(part) if isinstance(part, str) else _key(part) for part in key)})"
    return _text(key.name if isinstance(key, Global | Note) else str(key))


def _text(text: str) -> str:
    """Text that can be written: a pickle may hold halves of characters."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()

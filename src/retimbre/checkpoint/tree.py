"""The value of a pickle, sorted: the dictionary that holds the weights, and the rest as plain values."""

# ruff: noqa: ANN401 (a file may hold anything in any place)

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

from retimbre.checkpoint.rebuild import Global, Note, NumpyArray, NumpyDtype, Storage, Stored
from retimbre.errors import CheckpointError

MAX_DEPTH = 100
MAX_VALUES = 1_000_000
WEIGHTS_DEPTH = 5
TRAINING_STATE = frozenset({  # tensors below these names are no weights
    "optimizer", "optimizers", "optimizer_states", "optimizer_state_dict", "optim", "optim_g", "optim_d",
    "opt", "lr_schedulers", "scheduler", "schedulers", "callbacks", "loops", "hyper_parameters", "scaler",
    "rng_state",
})  # fmt: skip
PARTS_OF_ONE = ("generator", "mpd", "msd")  # HiFi-GAN spreads one model over several dictionaries


@dataclass(frozen=True)
class Weights:
    """The dictionary with the weights; `at` is its path, `""` for the whole file, None if there is none."""

    at: str | None
    tensors: dict[str, Stored] = field(default_factory=dict)


def weights_in(tree: Any) -> Weights:
    """The weights of a file: the dictionary with the most tensors, training state apart."""
    if isinstance(tree, Stored):
        return Weights("", {".": tree})
    parts = {name: _tensors(tree.get(name)) for name in PARTS_OF_ONE} if isinstance(tree, dict) else {}
    parts = {name: tensors for name, tensors in parts.items() if tensors}
    if len(parts) > 1:
        joined = {
            f"{part}.{name}": tensor for part, tensors in parts.items() for name, tensor in tensors.items()
        }
        return Weights(", ".join(parts), joined)
    found = [Weights(at, _tensors(value)) for at, value in _dictionaries(tree)]
    return max(found, key=lambda weights: len(weights.tensors), default=Weights(None))


def plain(tree: Any, *, without: dict[str, Stored] | None = None) -> tuple[Any, dict[str, Stored]]:
    """The rest as JSON would know it, and the tensors in it by their path.

    Objects that were not built become what they hold: a path its text, an element of an enum its value, a
    config object a dictionary.
    """
    walk = _Walk(skip={id(stored) for stored in (without or {}).values()})
    return walk.plain(tree, "", 0), walk.tensors


def pickled_network(tree: Any) -> str | None:
    """The class of a network that was pickled as a whole, instead of its weights."""
    values = [tree, *(tree.values() if isinstance(tree, dict) else ())]
    for value in values:
        if isinstance(value, Note) and isinstance(value.state, dict) and "_parameters" in value.state:
            return value.name
    return None


def _dictionaries(tree: Any) -> Iterator[tuple[str, Any]]:
    """Every dictionary with tensors in it and its path, the outer ones first."""
    waiting: deque[tuple[str, Any, int]] = deque([("", tree, 0)])
    seen: set[int] = set()
    while waiting:
        at, value, depth = waiting.popleft()
        if id(value) in seen or not isinstance(value, dict):
            continue
        seen.add(id(value))
        if _tensors(value):
            yield at, value
        if depth < WEIGHTS_DEPTH:
            waiting.extend(
                (f"{at}/{key}".lstrip("/"), inner, depth + 1)
                for key, inner in value.items()
                if isinstance(key, str) and key not in TRAINING_STATE
            )


def _tensors(value: Any) -> dict[str, Stored]:
    if not isinstance(value, dict):
        return {}
    return {key: inner for key, inner in value.items() if isinstance(key, str) and isinstance(inner, Stored)}


class _Walk:
    """Goes through a tree, to a limited depth and number: a pickle can hold itself, or billions in a page."""

    def __init__(self, skip: set[int]) -> None:
        self.tensors: dict[str, Stored] = {}
        self._skip = skip
        self._left = MAX_VALUES

    def plain(self, value: Any, at: str, depth: int) -> Any:
        self._left -= 1
        if depth > MAX_DEPTH or self._left < 0:
            raise CheckpointError(
                "the values in the file are nested without end", found=f"at {ascii(at[:60])}"
            )
        if isinstance(value, Stored):
            if id(value) not in self._skip:
                self.tensors[at or "."] = value
            return None
        if isinstance(value, dict):
            return self._mapping(value, at, depth)
        if isinstance(value, list | tuple | set):
            inner = [self.plain(item, f"{at}/{i}".lstrip("/"), depth + 1) for i, item in enumerate(value)]
            return tuple(inner) if isinstance(value, tuple) else inner
        if isinstance(value, Note):
            return self._note(value, at, depth)
        return _leaf(value)

    def _mapping(self, value: dict[Any, Any], at: str, depth: int) -> dict[str, Any]:
        return {
            _key(key): self.plain(inner, f"{at}/{_key(key)}".lstrip("/"), depth + 1)
            for key, inner in value.items()
            if not self._is_skipped(inner)
        }

    def _is_skipped(self, value: Any) -> bool:
        """Is it a weight, or a dictionary of nothing else?"""
        inner = value.values() if isinstance(value, dict) and value else [value]
        return all(id(each) in self._skip for each in inner)

    def _note(self, note: Note, at: str, depth: int) -> Any:
        if note.name.startswith("pathlib"):
            return _path_text(note)
        state = _state(note.state)
        if state or note.mapped:
            return self._mapping({**state, **note.mapped}, at, depth + 1)
        if note.listed or len(note.args) != 1:
            return self.plain(note.listed or list(note.args), at, depth + 1)
        return self.plain(note.args[0], at, depth + 1)


def _state(state: Any) -> dict[Any, Any]:
    """The attributes in an object's state: a dictionary, or one beside another for __slots__."""
    if isinstance(state, tuple) and len(state) == 2:
        return {**_state(state[0]), **_state(state[1])}
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


def _path_text(note: Note) -> str:
    parts = [part for part in note.args if isinstance(part, str)]
    return _text(str((PureWindowsPath if "Windows" in note.name else PurePosixPath)(*parts)))


def _leaf(value: Any) -> Any:
    if isinstance(value, Global | str):
        return _text(value.name if isinstance(value, Global) else value)
    if isinstance(value, NumpyArray):
        return None if value.values is None else value.values.tolist()
    if isinstance(value, NumpyDtype):
        return value.code
    return None if isinstance(value, Storage) else value

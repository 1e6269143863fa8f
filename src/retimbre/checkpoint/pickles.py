"""The restricted reader for pickles: a stack machine that knows data and calls nothing.

Python's own unpickler calls whatever a file names. This one has no such step: it moves values on a stack, and
where a pickle asks for a call it asks `rebuild.construct`, which makes our own inert values.
"""

# ruff: noqa: ANN401 (a pickle may hold anything in any place)

from collections.abc import Callable
from mmap import mmap
from typing import Any

from retimbre.checkpoint.allowance import Allowance
from retimbre.checkpoint.opcodes import opcode_at
from retimbre.checkpoint.rebuild import (
    KNOWN_NAMES,
    Global,
    Note,
    NumpyArray,
    NumpyDtype,
    Storage,
    construct,
    key_of,
)
from retimbre.checkpoint.refuse import refuse_code
from retimbre.errors import CheckpointError

MAX_BITS = 1024
MAX_STEPS = 1_000_000  # opcodes of a file, about: a thousand tensors with their optimiser take 100,000
MAX_NAME = 500  # characters of a name
MAX_PLACE = 1 << 32  # of the memo
Damage = (
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    OverflowError,
    RecursionError,
)  # what nonsense ends in


class Machine:
    """Runs one pickle after another; `names` collects what they refer to and we do not build.

    Args:
        storage_of: Makes a Storage of torch's persistent id of it.
    """

    def __init__(self, storage_of: Callable[[Any], Any]) -> None:
        self.names: dict[str, None] = {}
        self.end = 0
        self._globals: dict[str, Global] = {}
        self._allowance = Allowance(MAX_STEPS)
        self._storage_of = storage_of
        self._stack: list[Any] = []
        self._below: list[list[Any]] = []  # the stacks under each mark
        self._memo: dict[int, Any] = {}

    def run(self, content: bytes | bytearray | memoryview | mmap, at: int = 0) -> Any:
        """The value of the pickle that begins at a place of `content`; `end` is the place behind it."""
        self._stack, self._below, self._memo = [], [], {}
        view, self.end = memoryview(content), at
        try:
            while True:
                name, argument, self.end = opcode_at(view, self.end)
                self._allowance.spend(1)
                if name == "STOP":
                    return self._stack.pop()
                self._step(name, argument)
        except Damage as error:
            raise CheckpointError(
                "the list of contents in the file is damaged",
                found=f"{type(error).__name__}: {ascii(str(error))[1:-1][:120]}",
            ) from error

    def _step(self, name: str, argument: Any) -> None:
        if name in CONSTANTS:
            self._stack.append(CONSTANTS[name]())
        elif name in LITERALS:
            if isinstance(argument, int) and argument.bit_length() > MAX_BITS:
                raise ValueError("a number of thousands of digits")
            if isinstance(argument, str):
                self._allowance.spend_on(argument)
            self._stack.append(argument)
        else:
            STEPS[name](self, argument)  # a KeyError is an opcode that no file with weights has

    # ---- the stack and the memo -------------------------------------------------------------------------

    def _mark(self, _: Any) -> None:
        self._below.append(self._stack)
        self._stack = []

    def _since_mark(self) -> list[Any]:
        values, self._stack = self._stack, self._below.pop()
        return values

    def _pop(self, _: Any) -> None:
        if self._stack:
            self._stack.pop()
        else:
            self._since_mark()

    def _pop_mark(self, _: Any) -> None:
        self._since_mark()

    def _duplicate(self, _: Any) -> None:
        self._stack.append(self._stack[-1])

    def _get(self, index: int) -> None:
        self._stack.append(self._memo[index])

    def _put(self, index: int) -> None:
        if not 0 <= index < MAX_PLACE:  # larger numbers can be chosen to slow a dictionary down
            raise ValueError("a place in the memo that no pickle has")
        self._memo[index] = self._stack[-1]

    def _memoize(self, _: Any) -> None:
        self._memo[len(self._memo)] = self._stack[-1]

    def _nothing(self, _: Any) -> None:
        """Protocol numbers and frames carry no value."""

    # ---- containers -------------------------------------------------------------------------------------

    def _tuple(self, _: Any) -> None:
        self._stack_after_mark(tuple)

    def _list(self, _: Any) -> None:
        self._stack_after_mark(list)

    def _frozenset(self, _: Any) -> None:
        self._stack_after_mark(lambda values: {key_of(value) for value in values})

    def _dict(self, _: Any) -> None:
        self._stack_after_mark(lambda values: dict(_pairs(values)))

    def _stack_after_mark(self, build: Callable[[list[Any]], Any]) -> None:
        values = self._since_mark()
        self._stack.append(build(values))

    def _tuple_of(self, count: int) -> None:
        if len(self._stack) < count:
            raise IndexError("the stack is too short")
        values = tuple(self._stack[-count:])
        del self._stack[-count:]
        self._stack.append(values)

    def _append(self, _: Any) -> None:
        value = self._stack.pop()
        self._extend([value])

    def _appends(self, _: Any) -> None:
        self._extend(self._since_mark())

    def _extend(self, values: list[Any]) -> None:
        target = self._stack[-1]
        if isinstance(target, set):
            target.update(key_of(value) for value in values)
        elif isinstance(target, list | Note):
            (target.listed if isinstance(target, Note) else target).extend(values)
        else:
            raise TypeError(f"a {type(target).__name__} cannot grow")

    def _set_item(self, _: Any) -> None:
        value, key = self._stack.pop(), self._stack.pop()
        self._update([key, value])

    def _set_items(self, _: Any) -> None:
        self._update(self._since_mark())

    def _update(self, values: list[Any]) -> None:
        target = self._stack[-1]
        if not isinstance(target, dict | Note):
            raise TypeError(f"a {type(target).__name__} takes no keys")
        (target.mapped if isinstance(target, Note) else target).update(_pairs(values))

    # ---- names and what would be calls ------------------------------------------------------------------

    def _name(self, name: str) -> Global:
        if len(name) > MAX_NAME:
            raise ValueError(f"a name of {len(name)} characters")
        if name not in self._globals:
            refuse_code(name)
            self._globals[name] = Global(name)
            if name not in KNOWN_NAMES:
                self.names[ascii(name)[1:-1][:120]] = None  # ascii: a name may hold terminal commands
        return self._globals[name]

    def _global(self, argument: str) -> None:
        self._stack.append(self._name(argument.replace(" ", ".", 1)))

    def _stack_global(self, _: Any) -> None:
        last, module = self._stack.pop(), self._stack.pop()
        if not isinstance(last, str) or not isinstance(module, str):
            raise TypeError("a name that is no text")
        self._stack.append(self._name(f"{module[: MAX_NAME + 1]}.{last[: MAX_NAME + 1]}"))

    def _extension(self, code: int) -> None:
        self._stack.append(self._name(f"copyreg extension {code}"))

    def _reduce(self, _: Any) -> None:
        args, callee = self._stack.pop(), self._stack.pop()
        self._stack.append(self._made(callee, args))

    def _made(self, callee: Any, args: Any) -> Any:
        """What the call would have given; whatever it copies is paid for."""
        self._allowance.spend_on(args)
        for value in args if isinstance(args, tuple) else ():
            self._allowance.spend_on(value)
        return construct(callee, args)

    def _new_object_with_keywords(self, _: Any) -> None:
        keywords = self._stack.pop()
        args, callee = self._stack.pop(), self._stack.pop()
        made = self._made(callee, args)
        if isinstance(made, Note) and isinstance(keywords, dict):
            self._allowance.spend_on(keywords)
            made.mapped.update(keywords)
        self._stack.append(made)

    def _object(self, _: Any) -> None:
        callee, *args = self._since_mark()
        self._stack.append(self._made(callee, tuple(args)))

    def _instance(self, argument: str) -> None:
        args = self._since_mark()
        self._stack.append(self._made(self._name(argument.replace(" ", ".", 1)), tuple(args)))

    def _build(self, _: Any) -> None:
        state, target = self._stack.pop(), self._stack[-1]
        if isinstance(target, Note):
            target.state = state
        elif isinstance(target, NumpyDtype | NumpyArray):
            target.build(state)
        # Anything else keeps its value: attributes of dicts and tensors are of no use to us.

    def _storage(self, _: Any) -> None:
        made = self._storage_of(self._stack.pop())
        if not isinstance(made, Storage | Note):
            raise TypeError("a persistent id that is no storage")
        self._stack.append(made)


def _pairs(values: list[Any]) -> list[tuple[Any, Any]]:
    if len(values) % 2:
        raise ValueError("a key without a value")
    return [(key_of(key), value) for key, value in zip(values[::2], values[1::2], strict=True)]


CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None, "NEWTRUE": lambda: True, "NEWFALSE": lambda: False,
    "EMPTY_LIST": list, "EMPTY_TUPLE": tuple, "EMPTY_DICT": dict, "EMPTY_SET": set,
}  # fmt: skip

LITERALS = frozenset({
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "STRING",
    "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES",
    "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8",
})  # fmt: skip

STEPS: dict[str, Callable[[Machine, Any], None]] = {
    "PROTO": Machine._nothing,
    "FRAME": Machine._nothing,
    "MARK": Machine._mark,
    "POP": Machine._pop,
    "POP_MARK": Machine._pop_mark,
    "DUP": Machine._duplicate,
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), Machine._get),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), Machine._put),
    "MEMOIZE": Machine._memoize,
    "TUPLE": Machine._tuple,
    "TUPLE1": lambda machine, _: machine._tuple_of(1),
    "TUPLE2": lambda machine, _: machine._tuple_of(2),
    "TUPLE3": lambda machine, _: machine._tuple_of(3),
    "LIST": Machine._list,
    "DICT": Machine._dict,
    "FROZENSET": Machine._frozenset,
    "APPEND": Machine._append,
    **dict.fromkeys(("APPENDS", "ADDITEMS"), Machine._appends),
    "SETITEM": Machine._set_item,
    "SETITEMS": Machine._set_items,
    "GLOBAL": Machine._global,
    "STACK_GLOBAL": Machine._stack_global,
    **dict.fromkeys(("EXT1", "EXT2", "EXT4"), Machine._extension),
    **dict.fromkeys(("REDUCE", "NEWOBJ"), Machine._reduce),
    "NEWOBJ_EX": Machine._new_object_with_keywords,
    "OBJ": Machine._object,
    "INST": Machine._instance,
    "BUILD": Machine._build,
    "BINPERSID": Machine._storage,
}

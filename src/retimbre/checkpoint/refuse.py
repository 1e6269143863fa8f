"""Names that have no honest place in a file with weights.

Reading such a file would harm nobody here: no name in it is ever called. It is refused all the same, so that
its owner learns what it is before a less careful tool opens it. Nothing depends on this list being complete.
"""

from retimbre.errors import UnsafeCheckpoint

CODE_MODULES = frozenset({
    "os", "posix", "nt", "subprocess", "sys", "shutil", "importlib", "imp", "runpy", "pty", "socket",
    "webbrowser", "commands", "pdb", "bdb", "code", "codeop", "ctypes", "marshal", "pickle", "_pickle",
    "cPickle", "cloudpickle", "dill", "pip", "timeit", "pkgutil", "zipimport",
})  # fmt: skip
BUILTINS = frozenset(("builtins", "__builtin__", "__builtins__"))
CODE_BUILTINS = frozenset({
    "eval", "exec", "execfile", "compile", "__import__", "open", "file", "input", "raw_input",
    "breakpoint", "apply", "globals", "locals", "vars", "setattr", "delattr", "exit", "quit",
    "__build_class__",
})  # fmt: skip
CODE_NAMES = frozenset({
    "torch.load", "torch.hub.load", "torch.serialization.load", "torch.jit.load", "torch.ops.load_library",
    "numpy.load", "types.FunctionType", "types.CodeType", "operator.methodcaller", "operator.attrgetter",
    "_operator.methodcaller", "_operator.attrgetter", "pandas.eval", "yaml.load", "yaml.unsafe_load",
    "io.open", "_io.open", "io.FileIO", "_io.FileIO",
})  # fmt: skip


def refuse_code(name: str) -> None:
    """Raise where a name can only be there to run something."""
    module, _, last = name.rpartition(".")
    parts = name.split(".")
    if parts[0] in CODE_MODULES or name in CODE_NAMES or (parts[0] in BUILTINS and last in CODE_BUILTINS):
        raise unsafe(name)
    # A dotted name can walk from a harmless module to another: torch.serialization / os.system.
    if any(
        part in ("os", "sys", "subprocess", "__builtins__", "__globals__", "__class__") for part in parts[1:]
    ):
        raise unsafe(name)


def unsafe(name: str) -> UnsafeCheckpoint:
    """The error that names what a file wanted to call."""
    return UnsafeCheckpoint(
        f"this file tries to run code: {ascii(name)[1:-1][:120]}",  # ascii: a name may hold terminal commands
        expected="tensors and plain values",
        do="do not open it with other tools; get the weights from a source you trust, best as .safetensors",
    )

"""Names that have no honest place in a file with weights.

Reading such a file would harm nobody here: no name in it is ever called. It is refused all the same, so that
its owner learns what it is before a less careful tool opens it. Nothing depends on this list being complete.
"""

from retimbre.errors import UnsafeCheckpoint

CODE_MODULES = frozenset({  # with everything in them
    "os", "posix", "nt", "subprocess", "_posixsubprocess", "sys", "shutil", "importlib", "imp", "runpy",
    "pty", "socket", "webbrowser", "commands", "pdb", "bdb", "code", "codeop", "ctypes", "_ctypes", "cffi",
    "marshal", "pickle", "_pickle", "cPickle", "cloudpickle", "dill", "joblib", "shelve", "pip", "ensurepip",
    "venv", "setuptools", "distutils", "timeit", "pkgutil", "zipimport", "idlelib", "lib2to3", "cProfile",
    "doctest", "pydoc", "asyncio", "py_compile", "compileall", "linecache", "sqlite3", "_aix_support",
    "_osx_support", "_pyrepl", "urllib2", "httplib", "httpx", "requests", "aiohttp", "ftplib", "smtplib",
    "telnetlib", "xmlrpc", "pexpect", "paramiko",
})  # fmt: skip
BUILTINS = frozenset(("builtins", "__builtin__", "__builtins__"))
CODE_BUILTINS = frozenset({
    "eval", "exec", "execfile", "compile", "__import__", "open", "file", "input", "raw_input", "breakpoint",
    "apply", "globals", "locals", "vars", "setattr", "delattr", "exit", "quit", "__build_class__", "map",
    "filter",
})  # fmt: skip
CODE_NAMES = frozenset({  # with everything below them
    "torch.load", "torch.serialization.load", "torch.serialization._load", "torch.serialization._legacy_load",
    "torch.storage._load_from_bytes", "torch.hub", "torch.jit", "torch.package", "torch.ops", "torch.fx",
    "torch._dynamo", "torch._inductor", "torch.utils.cpp_extension", "torch.utils.bottleneck",
    "torch.utils.collect_env", "torch.utils._config_module", "torch.utils.data.datapipes", "numpy.load",
    "numpy.fromfile", "numpy.memmap", "numpy.f2py", "numpy.testing", "numpy.distutils", "types.FunctionType",
    "types.CodeType", "types.LambdaType", "operator.methodcaller", "operator.attrgetter",
    "_operator.methodcaller", "_operator.attrgetter", "functools.reduce", "_functools.reduce", "pandas.eval",
    "pandas.read_pickle", "yaml.load", "yaml.unsafe_load", "io.open", "_io.open", "io.FileIO", "_io.FileIO",
    "codecs.open", "profile.run", "profile.runctx", "profile.Profile", "trace.Trace", "http.client",
    "http.server", "urllib.request", "signal.signal", "signal.raise_signal", "multiprocessing.util",
    "zipfile.ZipFile", "tarfile.open", "site.execsitecustomize", "site.execusercustomize", "logging.config",
    "uuid._get_command_stdout", "copyreg.add_extension",
})  # fmt: skip
WAYS_OUT = frozenset({  # parts of a dotted name that lead from a harmless module to another
    "os", "sys", "subprocess", "builtins", "__builtins__", "__globals__", "__class__", "__dict__", "__mro__",
    "__base__", "__bases__", "__subclasses__", "__code__", "__import__", "__loader__", "__getattribute__",
    "f_globals", "f_builtins", "gi_frame",
})  # fmt: skip


def refuse_code(name: str) -> None:
    """Raise where a name can only be there to run something."""
    parts = name.split(".")
    is_builtin = parts[0] in BUILTINS and parts[-1] in CODE_BUILTINS
    beginnings = (".".join(parts[: n + 1]) for n in range(len(parts)))
    if parts[0] in CODE_MODULES or is_builtin or not CODE_NAMES.isdisjoint(beginnings):
        raise unsafe(name)
    if not WAYS_OUT.isdisjoint(parts[1:]):
        raise unsafe(name)


def unsafe(name: str) -> UnsafeCheckpoint:
    """The error that names what a file wanted to call."""
    return UnsafeCheckpoint(
        f"this file tries to run code: {ascii(name)[1:-1][:120]}",  # ascii: a name may hold terminal commands
        expected="tensors and plain values",
        do="do not open it with other tools; get the weights from a source you trust, best as .safetensors",
    )

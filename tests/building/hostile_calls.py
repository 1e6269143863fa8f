"""Files that ask for a call: each way in which a pickle reaches code, in both containers of torch.save.

Nothing here is ever unpickled; the bytes are put together by hand.
"""

import marshal
import pickle
import struct

from building.containers import in_legacy, in_zip


def text(value):
    """Opcodes that put a text on the stack."""
    raw = value.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def name(module, attribute):
    """GLOBAL: a thing outside the file."""
    return f"c{module}\n{attribute}\n".encode()


def call(callee, *arguments):
    """REDUCE: opcodes for the callee and for each argument."""
    return callee + b"(" + b"".join(arguments) + b"tR"


def dotted(module, attribute):
    """STACK_GLOBAL, which walks along the dots of an attribute."""
    return text(module) + text(attribute) + b"\x93"


def gadgets(flag):
    """Name of the attack -> a pickle's opcodes, with a call that would make the file `flag`."""
    command, source = f"touch {flag}", f"open({str(flag)!r}, 'w').close()"
    shell, code = text(command), text(source)
    a_list = b"](" + text("touch") + text(str(flag)) + b"e"
    compiled = marshal.dumps(compile(source, "x", "exec"))
    packed = b"B" + struct.pack("<I", len(compiled)) + compiled
    inner = b"\x80\x04" + call(name("os", "system"), shell) + b"."
    nested = b"B" + struct.pack("<I", len(inner)) + inner
    imported = call(name("builtins", "__import__"), text("os"))
    found = {
        f"{module}.{attribute}": call(name(module, attribute), *arguments)
        for module, attribute, *arguments in (
            ("os", "system", shell), ("posix", "system", shell), ("nt", "system", shell),
            ("os", "popen", shell), ("os", "execvp", text("touch"), a_list), ("os", "posix_spawn", shell),
            ("subprocess", "Popen", a_list), ("subprocess", "check_call", a_list),
            ("subprocess", "getoutput", shell), ("commands", "getoutput", shell),
            ("builtins", "eval", code), ("builtins", "exec", code), ("__builtin__", "eval", code),
            ("__builtin__", "execfile", shell), ("builtins", "compile", code, text("x"), text("exec")),
            ("builtins", "open", text(str(flag)), text("w")), ("io", "open", text(str(flag)), text("w")),
            ("_io", "FileIO", text(str(flag)), text("w")), ("builtins", "breakpoint"),
            ("builtins", "setattr", b"N", text("a"), b"N"),
            ("builtins", "map", name("os", "system"), a_list), ("builtins", "__build_class__", b"N",
            text("X")),
            ("importlib", "import_module", text("os")), ("importlib", "__import__", text("os")),
            ("runpy", "run_path", text(str(flag))), ("runpy", "_run_code", code, b"}"),
            ("pty", "spawn", a_list), ("code", "interact"), ("pdb", "run", code), ("bdb", "Bdb"),
            ("timeit", "timeit", code), ("pkgutil", "resolve_name", text("os:system")),
            ("torch", "load", text(str(flag))), ("torch.serialization", "load", text(str(flag))),
            ("torch.jit", "load", text(str(flag))), ("torch.hub", "load", shell, shell),
            ("torch.package", "PackageImporter", text(str(flag))),
            ("torch.storage", "_load_from_bytes", nested), ("torch.ops", "load_library", shell),
            ("torch.utils.cpp_extension", "load_inline", code),
            ("torch.utils.collect_env", "run", shell), ("torch.utils.bottleneck.__main__", "run_cprofile",
            code),
            ("torch.utils._config_module", "ConfigModule.load_config", nested),
            ("torch.utils.data.datapipes.utils.decoder", "basichandlers", text("pkl"), nested),
            ("torch.fx.experimental.symbolic_shapes", "ShapeEnv.evaluate_guards_expression", code),
            ("torch.jit.unsupported_tensor_ops", "execWrapper", code, b"}", b"}"),
            ("torch._dynamo.guards", "GuardBuilder.get", code), ("torch._inductor.codecache",
            "compile_file", code),
            ("numpy", "load", text(str(flag))), ("numpy.f2py.crackfortran", "getlincoef", code, b"N"),
            ("numpy.f2py.crackfortran", "myeval", code), ("numpy.testing._private.utils", "runstring", code,
            b"}"),
            ("pickle", "loads", nested), ("_pickle", "loads", nested), ("cPickle", "loads", nested),
            ("dill", "loads", nested), ("joblib", "load", text(str(flag))), ("marshal", "loads", packed),
            ("types", "FunctionType", call(name("marshal", "loads"), packed), b"}"),
            ("ctypes", "CDLL", text("libc.so.6")), ("pip", "main", a_list), ("pip._internal", "main", a_list),
            ("ensurepip", "_run_pip", a_list), ("webbrowser", "open", shell), ("shutil", "rmtree",
            text(str(flag))),
            ("idlelib.pyshell", "ModifiedInterpreter.runcode", code), ("idlelib.calltip", "get_entity", code),
            ("lib2to3.pgen2.grammar", "Grammar.loads", nested), ("cProfile", "run", code),
            ("profile", "Profile.run", code), ("trace", "Trace.run", code), ("doctest", "debug_script", code),
            ("pydoc", "pipepager", text("x"), shell), ("asyncio.unix_events",
            "_UnixSubprocessTransport._start"),
            ("uuid", "_get_command_stdout", shell), ("_aix_support", "_read_cmd_output", shell),
            ("_osx_support", "_read_output", shell), ("distutils.file_util", "write_file", text(str(flag)),
            a_list),
            ("site", "execsitecustomize"), ("sqlite3", "connect", text(str(flag))),
            ("multiprocessing.util", "spawnv_passfds", shell), ("signal", "raise_signal", b"K\x09"),
            ("urllib.request", "urlopen", text("http://127.0.0.1:9/")), ("requests", "get", shell),
            ("socket", "create_connection", b"N"), ("yaml", "unsafe_load", shell), ("pandas", "eval", code),
            ("pandas", "read_pickle", text(str(flag))), ("logging.config", "listen", b"K\x09"),
            ("codecs", "open", text(str(flag)), text("w")), ("operator", "methodcaller", text("system"),
            shell),
            ("operator", "attrgetter", text("system")), ("_operator", "attrgetter", text("system")),
            ("functools", "reduce", name("os", "system"), a_list),
            ("copyreg", "add_extension", text("os"), text("system"), b"K\x01"), ("sys", "exit", b"K\x07"),
            ("zipfile", "ZipFile.extractall", text(str(flag))), ("tarfile", "open", text(str(flag))),
        )
    }  # fmt: skip
    return found | {
        "getattr of an import": call(call(name("builtins", "getattr"), imported, text("system")), shell),
        "getattr with a default": call(name("builtins", "getattr"), name("json", "x"), text("a"), b"N"),
        "getattr along dunders": call(
            name("builtins", "getattr"), name("collections", "OrderedDict"), text("__class__")
        ),
        "functools.partial of os.system": call(call(name("functools", "partial"), name("os", "system"),
        shell)),
        "copyreg._reconstructor of os.system": call(
            name("copyreg", "_reconstructor"), name("os", "system"), name("builtins", "object"), b"N"
        ),
        "codecs.encode of os.system": call(name("_codecs", "encode"), name("os", "system"), text("latin1")),
        "builtins by a dotted name": call(dotted("collections", "abc.sys.modules"), shell),
        "os by a dotted name": call(dotted("torch.serialization", "os.system"), shell),
        "globals by a dotted name": call(dotted("torch", "save.__globals__"), shell),
        "subclasses by a dotted name": call(dotted("collections", "OrderedDict.__subclasses__")),
        "a numpy array of a call": call(name("numpy.core.multiarray", "_reconstruct"), name("os", "system")),
        "a dtype of a call": call(name("numpy", "dtype"), call(name("os", "system"), shell)),
        "an array of objects": (
            call(name("numpy.core.multiarray", "_reconstruct"), name("numpy", "ndarray"), b"K\x00\x85",
                b"C\x01b")
            + b"(K\x01K\x01\x85" + call(name("numpy", "dtype"), text("O8")) + b"\x89]"
            + call(name("os", "system"), shell) + b"atb"
        ),
        "a default factory": call(name("collections", "defaultdict"), name("os", "system")),
        "a parameter of a call": call(
            name("torch._utils", "_rebuild_parameter"), call(name("os", "system"), shell), b"\x89", b"}"
        ),
        "a tensor rebuilt by a call": call(
            name("torch._tensor", "_rebuild_from_type_v2"), name("os", "system"), b"N", shell + b"\x85", b"}"
        ),
        "INST": b"(" + shell + b"iposix\nsystem\n",
        "OBJ": b"(" + name("posix", "system") + shell + b"o",
        "NEWOBJ": name("posix", "system") + shell + b"\x85\x81",
        "NEWOBJ_EX": name("posix", "system") + shell + b"\x85}\x92",
        "BUILD with a call": name("thing", "Thing") + b")\x81" + call(name("os", "system"), shell) + b"b",
        "a name from the memo": (
            text("os") + b"q\x000" + text("system") + b"q\x010Nh\x00h\x01\x93" + shell + b"\x85R"
        ),
        "a call behind a value": b"K\x01" + call(name("os", "system"), shell) + b"0",
        "a call as a key": b"}" + call(name("os", "system"), shell) + b"K\x01s",
    }  # fmt: skip


def inert(flag):
    """What no list can know: names of code that become notes, so that the file opens and nothing runs."""
    shell, code = text(f"touch {flag}"), text(f"open({str(flag)!r}, 'w').close()")
    thing = name("hostile_module", "Thing")
    state = b"}(" + text("__class__") + name("hostile_module", "Other") + text("__setstate__") + code + b"u"
    return {
        "an unknown class": call(thing, shell),
        "__setstate__ of an unknown class": thing + b")\x81" + state + b"b",
        "attributes of a dictionary": b"}" + state + b"b",
        "attributes of an OrderedDict": call(name("collections", "OrderedDict")) + state + b"b",
        "an extension code": b"\x82\xf0" + shell + b"\x85R",
        "a class that extends": thing + b")\x81(" + shell + b"e",
        "a class with keys": thing + b")\x81(" + text("a") + shell + b"u",
        "a class made by type": call(name("builtins", "type"), text("X"), b")", b"}"),
        "antigravity": call(name("antigravity", "fly")),
        "pathlib.Path.touch": call(
            dotted("pathlib", "Path.touch"), call(name("pathlib", "PosixPath"), text(str(flag)))
        ),
        "a call of what a call gave": call(call(name("hostile_module", "factory")), shell),
    }


def persistent(flag):
    """Persistent ids that are no storages; what ends them differs with the container."""
    shell = text(f"touch {flag}")
    head, tail = b"(" + text("storage"), text("0") + text("cpu") + b"K\x02"
    called = call(name("os", "system"), shell)
    return {
        "a persistent id with code as its type": head + name("os", "system") + tail,
        "a persistent id with a call as its type": head + called + tail,
        "a persistent id with a text as its type": head + text("os.system") + tail,
        "a persistent id of an unknown type": head + name("hostile_module", "Storage") + tail,
        "a persistent id with a call as its key": head + name("torch",
        "FloatStorage") + called + text("cpu") + b"K\x02",
        "a persistent id with a call as its size": head + name("torch",
        "FloatStorage") + text("0") + text("cpu") + called,
    }  # fmt: skip


def files(flag):
    """Name -> bytes of a file, and how it ends: `unsafe`, `refused` or `opens`."""
    made = {}
    for container, wrap, end in (("zip", in_zip, b"tQ"), ("legacy", in_legacy, b"NtQ")):
        for kind, attacks in (("unsafe", gadgets(flag)), ("opens", inert(flag))):
            for attack, opcodes in attacks.items():
                content = b"\x80\x04}" + text("state_dict") + b"}" + text("deep") + opcodes + b"ss."
                made[f"{attack} ({container})"] = (wrap(content, {}), kind)
        for attack, opcodes in persistent(flag).items():
            kind = "unsafe" if b"cos\nsystem\n" in opcodes else "refused"
            made[f"{attack} ({container})"] = (wrap(b"\x80\x02" + opcodes + end + b".", {}), kind)
        made[f"a persistent id as a text ({container})"] = (wrap(b"\x80\x02Pos.system\n.", {}), "refused")
    source = (
        b"(" + text("module") + name("hostile_module", "Net") + text("net.py") + text("import os") + b"tQ"
    )
    made["source code of a class (legacy)"] = (in_legacy(b"\x80\x02" + source + b")\x81.", {}), "opens")
    calling = b"(" + text("module") + name("os", "system") + text("net.py") + text("import os") + b"tQ"
    made["source code of os.system (legacy)"] = (in_legacy(b"\x80\x02" + calling + b".", {}), "unsafe")
    bare = pickle.dumps({"w": 1}, protocol=0)
    made["a pickle of the oldest protocol"] = (bare, "refused")
    made["a call in the oldest protocol"] = (
        b"cos\nsystem\n(S'touch " + str(flag).encode() + b"'\ntR.",
        "refused",
    )
    made["a call instead of the magic number"] = (
        b"\x80\x02" + call(name("os", "system"), text(f"touch {flag}")) + b".", "unsafe",
    )  # fmt: skip
    return made

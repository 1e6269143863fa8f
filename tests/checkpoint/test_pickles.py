"""Files that try to run code, and files that only look odd: nothing in either is ever run."""

import builtins
import copyreg
import functools
import os
import pickle
import pickletools
import subprocess
import sys
from enum import Enum
from pathlib import Path, PurePosixPath, PureWindowsPath

import pytest
import torch

from retimbre.checkpoint import tree
from retimbre.checkpoint.pickles import Machine
from retimbre.checkpoint.read import read
from retimbre.errors import CheckpointError, UnsafeCheckpoint


class Call:
    """Pickled, it is a call: what a hostile file consists of."""

    def __init__(self, function, *args):
        self.function, self.args = function, args

    def __reduce__(self):
        return self.function, self.args


class Activation(Enum):
    GELU = "gelu"


@pytest.fixture
def flag(tmp_path):
    return tmp_path / "code-has-run"


def touching(flag):
    """Ways to make a file, each through another plainly executable name."""
    text = f"open({str(flag)!r}, 'w').close()"
    return {
        "os.system": Call(os.system, f"touch {flag}"),
        "eval": Call(builtins.eval, text),
        "exec": Call(builtins.exec, text),
        "open": Call(builtins.open, str(flag), "w"),
        "subprocess": Call(subprocess.check_call, ["touch", str(flag)]),
        "partial": Call(functools.partial(os.system, f"touch {flag}")),
        "getattr": Call(getattr, Call(builtins.__import__, "os"), "system"),
        "pickle in pickle": Call(pickle.loads, pickle.dumps(Call(os.system, f"touch {flag}"))),
        "torch.load": Call(torch.load, str(flag)),
    }


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("way", list(touching("")))
def test_a_file_that_tries_to_run_code_is_refused_and_nothing_runs(file_with, flag, way, protocol):
    nested = {"state_dict": {"w": [1, (2, {"deep": touching(flag)[way]})]}}
    path = file_with(pickle.dumps(nested, protocol=protocol))
    with pytest.raises(UnsafeCheckpoint, match="tries to run code"):
        read(path)
    assert not flag.exists()


def test_the_message_names_what_the_file_wanted_to_call(file_with, flag):
    path = file_with(pickle.dumps(Call(os.system, f"touch {flag}"), protocol=2))
    with pytest.raises(UnsafeCheckpoint, match=r"made\.pt: this file tries to run code: (posix|nt)\.system"):
        read(path)


def test_the_attacks_of_these_tests_ask_for_a_call(flag):
    # Read as opcodes, never run: the name of the function, then the opcode that calls it.
    found = list(pickletools.genops(pickle.dumps(Call(os.system, f"touch {flag}"), protocol=4)))
    assert {"posix", "system"} <= {argument for _, argument, _ in found if isinstance(argument, str)}
    assert "REDUCE" in [opcode.name for opcode, _, _ in found]


def opcode_attacks(flag):
    """Pickles written by hand, for the opcodes that pickle.dumps does not use."""
    command = f"touch {flag}".encode()
    text = b"\x8c" + bytes([len(command)]) + command  # SHORT_BINUNICODE
    return {
        "GLOBAL and REDUCE": b"\x80\x02cposix\nsystem\n(" + text + b"tR.",
        "INST": b"\x80\x02(S'" + command + b"'\niposix\nsystem\n.",
        "OBJ": b"\x80\x02(cposix\nsystem\n" + text + b"o.",
        "NEWOBJ": b"\x80\x02cposix\nsystem\n" + text + b"\x85\x81.",
        "NEWOBJ_EX": b"\x80\x04cposix\nsystem\n" + text + b"\x85}\x92.",
        "STACK_GLOBAL": b"\x80\x04\x8c\x05posix\x8c\x06system\x93" + text + b"\x85R.",
        # The name is put together from the memo, with other values on the stack meanwhile.
        "STACK_GLOBAL by memo": (
            b"\x80\x04\x8c\x05posix\x940\x8c\x06system\x940N0h\x00h\x01\x93" + text + b"\x85R."
        ),
        "a dotted name": b"\x80\x04\x8c\x13torch.serialization\x8c\x09os.system\x93" + text + b"\x85R.",
        "the loader of a module": b"\x80\x02cimportlib\nimport_module\nX\x02\x00\x00\x00os\x85R.",
        "behind STOP of the first": b"\x80\x02]q\x00(cposix\nsystem\n" + text + b"\x85Re.",
    }


@pytest.mark.parametrize("attack", list(opcode_attacks("")))
def test_no_opcode_calls_anything(file_with, flag, attack):
    path = file_with(opcode_attacks(flag)[attack])
    with pytest.raises(UnsafeCheckpoint):
        read(path)
    assert not flag.exists()


@pytest.mark.parametrize("protocol", [2, 4])
def test_a_class_of_the_attacker_is_neither_imported_nor_built_nor_given_its_state(
    file_with, flag, tmp_path, monkeypatch, protocol
):
    (tmp_path / "hostile_module.py").write_text(
        f"open({str(flag)!r}, 'w').close()\n"
        "class Thing:\n"
        "    def __new__(cls, *args): raise SystemExit\n"
        "    def __setstate__(self, state): raise SystemExit\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    head = b"\x80" + bytes([protocol]) + b"}X\x05\x00\x00\x00thing"
    thing = b"chostile_module\nThing\n)\x81}X\x01\x00\x00\x00aK\x01sb"
    contents = read(file_with(head + thing + b"s."))
    assert contents.values == {"thing": {"a": 1}}
    assert contents.notes == ("hostile_module.Thing",)
    assert not flag.exists()
    assert "hostile_module" not in sys.modules


def test_an_extension_code_stands_for_nothing(file_with, flag):
    copyreg.add_extension("posix", "system", 240)
    try:
        command = f"touch {flag}".encode()
        attack = b"\x80\x02\x82\xf0X" + len(command).to_bytes(4, "little") + command + b"\x85R."
        assert "copyreg extension 240" in read(file_with(attack)).notes
        assert not flag.exists()
    finally:
        copyreg.remove_extension("posix", "system", 240)


def test_a_harmless_class_whose_method_writes_files_stays_a_note(file_with, flag):
    head = b"\x80\x04\x8c\x07pathlib\x8c\x0aPath.touch\x93"
    path_object = b"\x8c\x07pathlib\x8c\x09PosixPath\x93\x8c" + bytes([len(str(flag))]) + str(flag).encode()
    contents = read(file_with(head + path_object + b"\x85R\x85R."))
    assert "pathlib.Path.touch" in contents.notes
    assert not flag.exists()


@pytest.mark.parametrize("function", ["_rebuild_tensor_v2", "_rebuild_parameter"])
def test_even_an_allowed_name_is_our_own_function(file_with, monkeypatch, function):
    monkeypatch.setattr(torch._utils, function, lambda *_: pytest.fail("torch's own was called"))
    persistent = (
        b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x02tQ"
    )
    if file_with.container == "torch-legacy":
        persistent = persistent.replace(b"K\x02tQ", b"K\x02NtQ")
    tensor = b"ctorch._utils\n_rebuild_tensor_v2\n(" + persistent + b"K\x00K\x02\x85K\x01\x85\x89}tR"
    whole = tensor if function == "_rebuild_tensor_v2" else (
        b"ctorch._utils\n_rebuild_parameter\n(" + tensor + b"\x89}tR"
    )  # fmt: skip
    values = torch.randn(2)
    path = file_with(b"\x80\x02}X\x01\x00\x00\x00w" + whole + b"s.", storages={"0": values.numpy().tobytes()})
    assert torch.equal(read(path).tensors["w"], values)


@pytest.mark.parametrize(
    "identity",
    [
        b"K\x01",  # a number
        b"X\x07\x00\x00\x00storage",  # a text
        b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nK\x00NK\x02t",  # a key that is no text
        b"(X\x07\x00\x00\x00storageX\x01\x00\x00\x00xX\x01\x00\x00\x000NK\x02t",  # a type that is a text
        b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000NJ\xff\xff\xff\xfft",  # -1 numbers
        b"(X\x07\x00\x00\x00storagecsomewhere\nStorage\nX\x01\x00\x00\x000NK\x02t",  # an unknown type
    ],
)
def test_a_persistent_id_of_the_wrong_kind_is_damage(file_with, identity):
    if file_with.container == "torch-legacy" and identity.endswith(b"t"):
        identity = identity[:-1] + b"Nt"
    with pytest.raises(CheckpointError, match="damaged"):
        read(file_with(b"\x80\x02" + identity + b"Q."))


@pytest.mark.parametrize(
    "nonsense",
    [
        b"\x80\x02.",  # nothing on the stack
        b"\x80\x020.",
        b"\x80\x02K\x01K\x02R.",  # a number is called
        b"\x80\x02K\x01K\x02sK\x03.",
        b"\x80\x02h\x05.",  # nothing in the memo
        b"\x80\x02]K\x01K\x02s.",  # a key for a list
        b"\x80\x02t.",  # no mark
        b"\x80\x02\x86.",
        b"\x80\x04K\x01K\x02\x93.",  # numbers as names
        b"\x80\x05\x97.",  # a buffer from outside
        b"\x80\x02P1\n.",
        b"\x80\x02}(K\x01u.",  # a key without a value
        b"\x80\x02X\xff\xff\xff\x7fabc.",  # a text longer than the file
        b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x7fabc.",
        b"\x80\x02]q\x00",  # no end
        b"\x80\x02\x8b\x00\x04\x00\x00" + b"\x7f" * 1024 + b".",  # a number of 8,000 bits
        b"\x80\x02}((((K\x01tttK\x02s.",
        b"\x80\x02ctorch\nSize\n(J\xff\xff\xff\xff\x85tR.",
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n)R.",
        b"\x80\x02cnumpy\ndtype\nX\x02\x00\x00\x00O8\x85Rq\x00cnumpy.core.multiarray\nscalar\nh\x00C\x01a\x86R.",
    ],
)
def test_nonsense_is_damage_and_not_a_traceback(file_with, nonsense):
    with pytest.raises(CheckpointError):
        read(file_with(nonsense))


def test_a_value_that_holds_itself_has_an_end(file_with):
    with pytest.raises(CheckpointError, match="without end"):
        read(file_with(b"\x80\x02]q\x00h\x00a."))


def test_a_page_that_stands_for_billions_of_values_has_an_end(file_with, monkeypatch):
    monkeypatch.setattr(tree, "MAX_VALUES", 10_000)
    laughs = b"\x80\x02]" + b"".join(b"q%ch%ch%c\x86" % (i, i, i) for i in range(40)) + b"."
    with pytest.raises(CheckpointError, match="without end"):
        read(file_with(laughs))


def test_values_nested_ten_thousand_deep_have_an_end(file_with):
    with pytest.raises(CheckpointError, match="without end"):
        read(file_with(b"\x80\x02" + b"]" * 10_000 + b"a" * 9_999 + b"."))


def test_a_key_that_takes_for_ever_to_hash_is_damage(file_with):
    key = b"K\x01" + b"".join(b"q%ch%c\x86" % (i, i) for i in range(200))
    with pytest.raises(CheckpointError, match="a key of type tuple"):
        read(file_with(b"\x80\x02}" + key + b"K\x01s."))


def test_plain_values_come_back_as_they_were(file_with):
    values = {
        "none": None, "yes": True, "number": 7, "big": 1 << 80, "real": 0.25, "text": "ünï\u2603",
        "list": [1, [2]], "pair": (1, "a"), "bytes": b"\x00\xff", "members": {1}, "complex": 1 + 2j,
    }  # fmt: skip
    for protocol in (2, 3, 4, 5):
        assert read(file_with(pickle.dumps(values, protocol=protocol))).values == values | {"members": [1]}


def test_objects_become_what_they_hold(file_with):
    values = {
        "path": PurePosixPath("a/b.wav"),
        "windows": PureWindowsPath("D:/voices/ann"),
        "enum": Activation.GELU,
        "function": functools.partial,
    }
    contents = read(file_with(pickle.dumps(values, protocol=4)))
    assert contents.values == {
        "path": "a/b.wav",
        "windows": "D:\\voices\\ann",
        "enum": contents.values["enum"],
        "function": "functools.partial",
    }
    assert contents.values["enum"] in ("gelu", "GELU")  # Python 3.11 writes the name, others the value
    assert any(name.endswith("Activation") for name in contents.notes)


def test_a_terminal_command_in_a_name_is_made_visible(file_with):
    contents = read(file_with(b"\x80\x04\x8c\x01m\x8c\x05\x1b[2Jx\x93."))
    assert contents.notes == (r"m.\x1b[2Jx",)


def test_one_machine_reads_pickle_after_pickle():
    content = pickle.dumps([1], protocol=2) + pickle.dumps({"a": 2}, protocol=4)
    machine = Machine(lambda identity: identity)
    assert machine.run(content) == [1]
    assert machine.run(content, machine.end) == {"a": 2}
    assert machine.end == len(content)


def test_reading_leaves_python_as_it_was(file_with):
    before = set(sys.modules)
    read(file_with(b"\x80\x02cantigravity\nfly\n."))
    assert set(sys.modules) == before
    assert Path("antigravity").name not in sys.modules

"""Small files that stand for endless values, memory or time, and tensors that no memory has."""

import struct
import zipfile

from building.containers import in_legacy, in_zip
from building.hostile_calls import call, name, text

NUMBERS = struct.pack("<4f", 1.0, 2.0, 3.0, 4.0)
P = (1 << 61) - 1  # Python's hash of a whole number is its remainder


def number(value):
    """LONG4: a whole number of any size."""
    raw = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8b" + struct.pack("<i", len(raw)) + raw


def put(place):
    """LONG_BINPUT."""
    return b"r" + struct.pack("<I", place)


def get(place):
    """LONG_BINGET."""
    return b"j" + struct.pack("<I", place)


def numbers(values):
    return b"(" + b"".join(map(number, values)) + b"t"


def tensor(end, *, shape, stride, offset=0, n_items=4, kind="FloatStorage", key="0"):
    """A tensor with sizes as declared; `end` closes a persistent id of its container."""
    storage = b"(" + text("storage") + name("torch", kind) + text(key) + text("cpu") + number(n_items) + end
    return call(
        name("torch._utils", "_rebuild_tensor_v2"),
        storage, number(offset), numbers(shape), numbers(stride), b"\x89", b"}",
    )  # fmt: skip


def endless():
    """Pickles of a few bytes to a few megabytes; `opens` where they stay what they are."""
    doubling = b"".join(put(i) + get(i) + b"\x86" for i in range(60))
    many = b"](" + b"N" * 250_000 + b"e" + put(7) + b"0"
    long_text = text("a" * 5_000_000) + put(7) + b"0"
    snowmen = text("\u2603" * 1_000_000) + put(7) + b"0"
    array = call(
        name("numpy.core.multiarray", "_reconstruct"), name("numpy", "ndarray"), b"K\x00\x85", b"C\x01b"
    )
    dtype = lambda code: call(name("numpy", "dtype"), text(code))  # noqa: E731
    filled = lambda shape, code, raw: (  # noqa: E731
        array
        + b"(K\x01"
        + numbers(shape)
        + dtype(code)
        + b"\x89B"
        + struct.pack("<I", len(raw))
        + raw
        + b"tb"
    )
    return {
        "a list of pairs of pairs (memo)": (b"]" + doubling, "refused"),
        "a list of pairs of pairs (DUP)": (b"]" + b"2\x86" * 60, "refused"),
        "lists of ten lists": (
            b"]" + put(0) + b"0"
            + b"".join(b"](" + get(i) * 10 + b"e" + put(i + 1) + b"0" for i in range(30)) + get(30),
            "refused",
        ),
        "a list that holds itself": (b"]q\x00h\x00a", "refused"),
        "a dictionary that holds itself": (b"}q\x00" + text("a") + b"h\x00s", "refused"),
        "an object that holds itself": (name("a", "B") + b")\x81q\x00}" + text("a") + b"h\x00sb", "refused"),
        "a million marks": (b"(" * 1_000_001 + b"t", "refused"),
        "tuples in tuples": (b"K\x01" + b"\x85" * 100_000, "refused"),
        "lists in lists": (b"]" * 100_000 + b"a" * 99_999, "refused"),
        "dictionaries in dictionaries": (b"}" + (text("a") + b"}") * 50_000 + b"s" * 50_000, "refused"),
        "OrderedDicts in OrderedDicts": (
            b"".join([name("collections",
                "OrderedDict") + b"(]("] * 5_000) + text("a") + b"\x86" * 9 + b"etR",
            "refused",
        ),
        "a million empty sets": (b"(" + b"\x8f" * 1_000_001 + b"l", "refused"),
        "a million objects": (b"(" + (name("a", "B") + b")\x81") * 350_000 + b"l", "refused"),
        "two million numbers": (b"(" + b"K\x01" * 2_000_000 + b"l", "refused"),
        "a number of a megabyte": (b"\x8b" + struct.pack("<i", 1 << 20) + b"\x7f" * (1 << 20), "refused"),
        "a number of gigabytes, declared": (b"\x8b\xff\xff\xff\x7f1", "refused"),
        "a number of negative length": (b"\x8b\xff\xff\xff\xff1", "refused"),
        "a number as a line of digits": (b"L" + b"9" * 1_000_000 + b"L\n", "refused"),
        "a line without an end": (b"I" + b"1" * 3_000_000, "refused"),
        "a text of exabytes, declared": (b"\x8d" + struct.pack("<Q", 1 << 60) + b"abc", "refused"),
        "bytes of exabytes, declared": (b"\x8e" + struct.pack("<Q", 1 << 62) + b"abc", "refused"),
        "a byte array of exabytes, declared": (b"\x96" + struct.pack("<Q", 1 << 60) + b"abc", "refused"),
        "a text of four gigabytes, declared": (b"X\xff\xff\xff\xffabc", "refused"),
        "a text of half characters": (b"X\x03\x00\x00\x00\xed\xa0\x80", "opens"),
        "forty megabytes of text": (text("a" * 40_000_000), "refused"),
        "one text a million times": (long_text + b"](" + get(7) * 150_000 + b"e", "refused"),
        "one text beyond ASCII a thousand times": (snowmen + b"](" + get(7) * 1_000 + b"e", "refused"),
        "a frame of exabytes": (b"\x95" + struct.pack("<Q", 1 << 60) + b"}", "opens"),
        "a far place in the memo": (b"K\x01r\xff\xff\xff\x7f", "opens"),
        "a place in the memo of thousands of digits": (b"K\x01p" + b"9" * 4_000 + b"\n", "refused"),
        "a place in the memo below zero": (b"K\x01p-1\n", "refused"),
        "a place in the memo that is empty": (b"j\xff\xff\xff\x7f", "refused"),
        "keys of one hash: numbers": (
            b"}(" + b"".join(number(i * P) + b"N" for i in range(1, 100_000)) + b"u", "refused",
        ),
        "keys of one hash: numbers, one by one": (
            b"}" + b"".join(number(i * P) + b"Ns" for i in range(1, 100_000)), "refused",
        ),
        "keys of one hash: complex numbers": (
            b"}(" + b"".join(
                call(name("builtins", "complex"), number(-1_000_003 * i),
                    number(i)) + b"N" for i in range(20_000)
            ) + b"u", "refused",
        ),
        "a set of one hash": (
            b"\x8f(" + b"".join(number(i * P) for i in range(1, 100_000)) + b"\x90", "refused",
        ),
        "a key that takes for ever to hash": (b"}K\x01" + doubling + b"K\x01s", "refused"),
        "a key of a megabyte": (b"}" + text("a" * 1_000_000) + b"Ns", "refused"),
        "copies of a list": (
            many + b"](" + call(name("builtins", "list"), get(7)) * 20_000 + b"e", "refused",
        ),
        "copies of a text": (
            long_text + b"](" + call(name("_codecs", "encode"), get(7), text("latin1")) * 5_000 + b"e",
                "refused",
        ),
        "copies of a set": (many + b"](" + call(name("builtins", "set"), get(7)) * 20_000 + b"e", "refused"),
        "sizes of a long list": (many + b"](" + call(name("torch", "Size"), get(7)) * 20_000 + b"e",
        "refused"),
        "arguments from a long list": (
            call(name("builtins", "tuple"), b"(" + b"N" * 250_000 + b"l") + put(7) + b"0]("
            + (name("torch", "device") + get(7) + b"R") * 20_000 + b"e", "refused",
        ),
        "a name of a megabyte": (text("a" * 1_000_000) + put(7) + get(7) + b"\x93", "refused"),
        "names of megabytes": (long_text + b"](" + (get(7) + get(7) + b"\x93") * 100_000 + b"e", "refused"),
        "an array without numbers": (filled((1 << 40, 0), "f4", b""), "refused"),
        "an array of numbers of no size": (filled((4,), "S0", b"abcd"), "refused"),
        "an array of other sizes": (filled((1 << 40,), "f4", b"abcd"), "refused"),
        "an array of a hundred axes": (filled((1,) * 100, "u1", b"a"), "refused"),
        "an array of millions of bytes": (filled((8_000_000,), "u1", bytes(8_000_000)), "refused"),
        "an array of lists of one": (filled((100_000, 1), "u1", bytes(100_000)), "opens"),
        "an array many times": (
            filled((50_000,), "u1", bytes(50_000)) + put(8) + b"0](" + get(8) * 100 + b"e", "refused",
        ),
        "an array of characters that are none": (filled((2,), "U1", b"\xff\xff\xff\x7f" * 2), "opens"),
        "a number of numpy that is no character": (
            call(name("numpy.core.multiarray", "scalar"), dtype("U1"), b"C\x04\xff\xff\xff\x7f"), "refused",
        ),
        "an array of text": (filled((2,), "U1", b"a\0\0\0b\0\0\0"), "opens"),
        "a path of many parts": (
            call(name("pathlib", "PosixPath"),
                *[text("a")] * 50_000) + put(9) + b"0](" + get(9) * 50_000 + b"e",
            "refused",
        ),
        "nothing on the stack": (b"", "refused"),
        "an opcode that there is not": (b"\xff", "refused"),
        "no mark": (b"t", "refused"),
        "a buffer from outside": (b"\x97", "refused"),
    }  # fmt: skip


def oversized(end):
    """Tensors outside their storage, and sizes that overflow."""
    made = {
        "longer than its storage": {"shape": (5,), "stride": (1,)},
        "rows beyond its storage": {"shape": (2, 2), "stride": (3, 1), "offset": 1},
        "an offset beyond its storage": {"shape": (4,), "stride": (1,), "offset": 1},
        "an offset of exabytes": {"shape": (1,), "stride": (1,), "offset": 1 << 62},
        "an offset beyond 2**63": {"shape": (1,), "stride": (1,), "offset": 1 << 64},
        "a negative offset": {"shape": (2,), "stride": (1,), "offset": -1},
        "a huge stride": {"shape": (2,), "stride": (1 << 60,)},
        "a negative stride": {"shape": (2,), "stride": (-1,), "offset": 3},
        "a negative size": {"shape": (-1,), "stride": (1,)},
        "a size beyond 2**63": {"shape": (1 << 63,), "stride": (0,)},
        "sizes whose product overflows": {"shape": (1 << 32, 1 << 32), "stride": (0, 0)},
        "huge sizes and a zero": {"shape": (1 << 62, 1 << 62, 0), "stride": (0, 0, 1)},
        "a number repeated to terabytes": {"shape": (1 << 20, 1 << 20), "stride": (0, 0)},
        "more strides than sizes": {"shape": (2,), "stride": (1, 1)},
        "sixty-five sizes": {"shape": (1,) * 65, "stride": (1,) * 65},
        "ten thousand sizes": {"shape": (1,) * 10_000, "stride": (1,) * 10_000},
        "a storage that is not there": {"shape": (2,), "stride": (1,), "key": "7"},
        "a storage longer than its bytes": {"shape": (2,), "stride": (1,), "n_items": 400},
        "a storage of exabytes": {"shape": (2,), "stride": (1,), "n_items": 1 << 61},
        "a storage of negative length": {"shape": (2,), "stride": (1,), "n_items": -4},
        "a storage of an unknown kind": {"shape": (2,), "stride": (1,), "kind": "EvilStorage"},
        "a storage of a huge key": {"shape": (2,), "stride": (1,), "key": "k" * 100_000},
    }
    return {name: tensor(end, **sizes) for name, sizes in made.items()}


def of_many(end):
    """One tensor under many names, or in many places."""
    one = tensor(end, shape=(0,), stride=(1,), n_items=4) + put(5) + b"0"
    names = b"}(" + b"".join(text(f"w{i}") + get(5) for i in range(20_000)) + b"u"
    real = tensor(end, shape=(2,), stride=(1,)) + put(6) + b"0"
    places = tensor(end, shape=(1, 2), stride=(2, 1), n_items=2, kind="LongStorage")
    sparse = lambda shape: call(  # noqa: E731
        name("torch._utils", "_rebuild_sparse_tensor"), text("torch.sparse_coo"),
        b"(" + places + tensor(end, shape=(2,), stride=(1,), key="1") + numbers(shape) + b"t",
    )  # fmt: skip
    return {
        "one tensor under 20,000 names": (one + names, "opens"),
        "one tensor a hundred thousand times": (one + b"](" + get(5) * 100_000 + b"e", "refused"),
        "one tensor in paths of thousands of characters": (
            one + b"}" + text("optimizer") + b"}" + text("k" * 4_900) + b"](" + get(5) * 100_000 + b"ess",
                "refused",
        ),
        "the weights again and again": (
            one + names + put(8) + b"0}(" + text("w") + get(8) + text("x") + b"](" + get(8) * 1_000 + b"eu",
                "refused",
        ),
        "one storage that stands for gigabytes": (real + b"](" + get(6) * 400_000 + b"e", "refused"),
        "a sparse tensor of terabytes": (sparse((1 << 40,)), "refused"),
        "a tensor's name of half a character": (
            real + b"}X\x03\x00\x00\x00\xed\xa0\x80" + get(6) + b"s", "refused",
        ),
    }  # fmt: skip


def files():
    """Name -> bytes of a file (or what makes them), and how it ends."""
    made = {}
    storages = {"0": NUMBERS, "1": NUMBERS}
    for container, wrap, end in (("zip", in_zip, b"tQ"), ("legacy", in_legacy, b"NtQ")):
        # What is in a pickle is the same in both; in the older one, which is read while it is mapped, a few.
        values = dict(list(endless().items())[:: 1 if container == "zip" else 7])
        values |= of_many(end) | {key: (value, "refused") for key, value in oversized(end).items()}
        for bomb, (opcodes, ends) in values.items():
            content = b"\x80\x04}" + text("values") + opcodes + b"s."
            held = {key: raw for key, raw in storages.items() if text(key) + text("cpu") in opcodes}
            made[f"{bomb} ({container})"] = (wrap(content, held), ends)
    made["no end (zip)"] = (in_zip(b"\x80\x02]q\x00", {}), "refused")
    made["no end (legacy)"] = (in_legacy(b"\x80\x02]q\x00", {}), "refused")
    made["a hundred megabytes of lists, compressed"] = (
        in_zip(b"\x80\x02" + b"]" * 100_000_000 + b".", {}, zipfile.ZIP_DEFLATED), "refused",
    )  # fmt: skip
    made["a hundred megabytes of text, compressed"] = (
        in_zip(b"\x80\x02" + b"X\x00\xe0\xf5\x05" + b" " * 100_000_000 + b".", {}, zipfile.ZIP_DEFLATED),
            "refused",
    )  # fmt: skip
    return made

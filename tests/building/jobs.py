"""What the child process of `building.opening` does with a file.

Whatever is no CheckpointError ends the process: its last words become the test's.
"""

import io
import json
import tempfile
import time
from collections import Counter
from pathlib import Path

import torch
from safetensors.torch import save

from building import damage
from retimbre.checkpoint.deep import look_deep
from retimbre.checkpoint.digest import sha256_of
from retimbre.checkpoint.read import read
from retimbre.errors import CheckpointError, UnsafeCheckpoint
from retimbre.models.identify import identify, identify_deep


def warm_up():
    """Open a file of each container, so that what is imported on the way is there before anybody listens."""
    tensors = {"w": torch.randn(3)}
    modern, legacy = io.BytesIO(), io.BytesIO()
    torch.save(tensors, modern)
    torch.save(tensors, legacy, _use_new_zipfile_serialization=False)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a"
        for content in (modern.getvalue(), legacy.getvalue(), save(tensors), b"{'nothing'}", b"\x93NUMPY"):
            path.write_bytes(content)
            open_file(path=str(path))
        path.write_bytes(modern.getvalue())
        deep_look(path)


def open_file(*, path):
    """Read the contents, the shapes, and each tensor."""
    try:
        contents = read(Path(path))
        contents.tensors.meta()
        contents.other_tensors.meta()
        largest = sum(tensor.nbytes for tensor in contents.tensors.meta().values())
        if largest < 1 << 26:
            for tensor in contents.tensors.values():
                tensor.sum()
    except UnsafeCheckpoint as error:
        return {"ending": "unsafe", "text": str(error)}
    except CheckpointError as error:
        return {"ending": "refused", "text": str(error)}
    return {"ending": "opens"}


def open_mutations(*, path, kind, seed, count):
    """Damage a good file `count` times; what is wrong with each reading, and how often each ending came."""
    folder = Path(path)
    if kind == "index":
        good, target = damage.index_in(folder), folder / "model.safetensors.index.json"
    elif kind == "file":  # any other: only its endings are judged
        content = (folder / "good").read_bytes()
        good, target = damage.Good(content, ((0, len(content)),)), folder / "damaged"
    else:
        good, target = damage.goods()[kind], folder / "damaged"
    draw, faults, endings, slowest = damage.draws(seed), [], Counter(), 0.0
    for number in range(count):
        damaged = damage.damaged(good, draw)
        target.write_bytes(damaged.content)
        began = time.process_time()
        ending, fault = _judged(good, damaged, target)
        slowest = max(slowest, time.process_time() - began)
        endings[ending] += 1
        faults += [f"number {number}: {fault}"] if fault else []
    return {
        "ending": "done",
        "text": json.dumps({"faults": faults[:5], "endings": endings, "slowest_s": slowest}),
    }


def _judged(good, damaged, path):
    """How a reading ended, and what is wrong with it."""
    try:
        contents = read(path)
        contents.tensors.meta()
    except CheckpointError as error:
        return "refused", "" if "\n" not in str(error) else f"no line: {error}"
    expected = damage.tensors() if good.places else {}
    is_known = all(damaged.spares(*place) for place in good.unchecked) and len(damaged.touched) == 1
    for name, tensor in expected.items():
        found = _tensor(contents.tensors, name)
        is_spared = name in good.places and damaged.spares(*good.places[name])
        if is_known and is_spared and (found is None or not damage.same_bytes(found, tensor)):
            return "failed", f"{name} is another tensor"
    for tensors in (contents.tensors, contents.other_tensors):
        for name in tensors:
            _tensor(tensors, name)
    return "opens", ""


def _tensor(tensors, name):
    """A tensor, or None where it is refused or not there; anything else ends this process."""
    try:
        return tensors[name].clone()
    except (CheckpointError, KeyError):
        return None


def names_and_shapes(path):
    """Names, shapes and dtypes of everything in a file."""
    contents = read(path)
    return contents, contents.tensors.meta(), contents.other_tensors.meta()


def deep_look(path):
    """Every weight, once."""
    contents = read(path)
    return contents, look_deep(contents)


def digest(path):
    """The SHA-256 of a file, to compare with."""
    return sha256_of(path)


def inspected(path):
    """What `retimbre inspect` prints, for people and for scripts."""
    report = identify(path)
    return [report.to_text(), report.to_json()]


def inspected_deep(path):
    """With --deep."""
    return identify_deep(path).to_json()


WEIGHED = {  # what can be measured
    "names": names_and_shapes,
    "inspect": inspected,
    "inspect --deep": inspected_deep,
    "deep": deep_look,
    "digest": digest,
}


def weigh(*, path, what):
    """The memory of its own that something needs while its result is held; CPU seconds are told besides."""
    before = _own_bytes()
    result = WEIGHED[what](Path(path))
    after = _own_bytes()
    grown = {kind: after[kind] - before[kind] for kind in after}
    return {"ending": "done", "text": json.dumps(grown | {"held": type(result).__name__})}


def _own_bytes():
    """Memory that no other process shares: `private` with mapped pages of files, `anonymous` without them."""
    found = Counter()
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines()[1:]:
        name, amount, *_ = line.split()
        found[name] = int(amount) * 1024
    return {"private": found["Private_Clean:"] + found["Private_Dirty:"], "anonymous": found["Anonymous:"]}


JOBS = {"open_file": open_file, "mutate": open_mutations, "weigh": weigh}

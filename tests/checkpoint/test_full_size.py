"""What a file of 421.5 million parameters costs: reading its contents is no reading of its weights."""

import json
import shutil
import sys
from math import prod
from pathlib import Path

import pytest

from building import full_size
from building.opening import Opener
from retimbre.checkpoint.read import read

MAX_CPU_S = 2.0  # beyond start-up: a claim of ours, so it is a test and no benchmark
MAX_PRIVATE_BYTES = 400_000_000
N_FREE_BYTES = 4_000_000_000
WRITERS = {"torch-zip": full_size.write_zip, "torch-legacy": full_size.write_legacy}

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/smaps_rollup").exists(),
    reason=f"{sys.platform} does not tell a process its own memory",
)


def weighed(path, what):
    """CPU seconds and the memory of its own that a child process needs for it."""
    with Opener("weigh") as child:
        opened = child.open(path, what=what)
    assert opened.ending == "done", opened
    return opened.cpu_s, json.loads(opened.text)


@pytest.fixture
def room(tmp_path):
    """A folder with room for the file, which is not left behind."""
    if shutil.disk_usage(tmp_path).free < N_FREE_BYTES:
        pytest.skip(f"{N_FREE_BYTES / 1e9:.0f} GB of disk are needed")
    yield tmp_path
    for path in tmp_path.iterdir():
        path.unlink()


def test_the_file_is_as_large_as_the_released_one():
    weights = {name: shape for name, (shape, _) in full_size.shapes().items() if not _is_mask(name)}
    assert len(weights) == 410
    assert sum(map(prod, weights.values())) == full_size.N_PARAMETERS


def _is_mask(name):
    return name.endswith((".attn.bias", ".attn.masked_bias"))


@pytest.mark.parametrize("container", WRITERS)
def test_names_and_shapes_of_a_full_size_file_cost_little(tmp_path, container):
    path = tmp_path / "autoregressive.pth"
    WRITERS[container](path)  # with holes for numbers: nobody reads them
    assert path.stat().st_size > 1_700_000_000
    contents = read(path)
    assert contents.container == container
    found = {name: (tuple(meta.shape), meta.dtype) for name, meta in contents.tensors.meta().items()}
    assert found == full_size.shapes()

    cpu_s, grown = weighed(path, "names")
    assert cpu_s < MAX_CPU_S
    assert grown["private"] < MAX_PRIVATE_BYTES / 8

    cpu_s, grown = weighed(path, "inspect")
    assert cpu_s < MAX_CPU_S
    assert grown["private"] < MAX_PRIVATE_BYTES / 8


@pytest.mark.slow
@pytest.mark.parametrize("container", WRITERS)
def test_a_full_size_file_of_random_weights(room, container):
    path = room / "autoregressive.pth"
    full_size.fill(path, WRITERS[container](path))
    cpu_s, grown = weighed(path, "inspect")
    assert cpu_s < MAX_CPU_S
    assert grown["private"] < MAX_PRIVATE_BYTES

    digest_s, _ = weighed(path, "digest")  # every byte of the file, once
    deep_s, _ = weighed(path, "inspect --deep")  # the digest is a part of it
    assert deep_s < 2 * digest_s + MAX_CPU_S
    _, grown = weighed(path, "deep")
    assert grown["anonymous"] < MAX_PRIVATE_BYTES

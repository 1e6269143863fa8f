"""Three thousand random mutations of good files: what was written, or a CheckpointError; nothing else."""

import json

import pytest

from building.opening import Opener

MAX_CPU_S = 5.0
COUNTS = {
    "zip": 600, "zip without padding": 500, "zip, compressed": 500, "legacy": 600, "safetensors": 500,
    "index": 300,
}  # fmt: skip
FILES = (
    "tortoise_models/mel_norms.pth",
    "awkward_numpy2/lightning_like.ckpt",
    "awkward_numpy1/tensors_legacy.pt",
)


@pytest.fixture(scope="module")
def opener():
    with Opener("mutate") as child:
        yield child


def judged(opener, folder, kind, count):
    """How often each ending came; nothing but reading and refusing may have."""
    opened = opener.open(folder, kind=kind, seed=kind, count=count)
    assert opened.ending == "done", opened
    told = json.loads(opened.text)
    assert told["faults"] == []
    assert set(told["endings"]) <= {"opens", "refused"}
    assert told["slowest_s"] < MAX_CPU_S
    return told["endings"]


def test_there_are_three_thousand_of_them():
    assert sum(COUNTS.values()) == 3_000


@pytest.mark.parametrize("kind", COUNTS)
def test_a_damaged_file_is_read_as_it_was_or_refused(opener, tmp_path, kind):
    endings = judged(opener, tmp_path, kind, COUNTS[kind])
    assert min(endings["refused"], endings["opens"]) > COUNTS[kind] // 100  # each of both is tested


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_of_another_tool_ends_the_same(opener, parity, tmp_path, name):
    (tmp_path / "good").write_bytes((parity("containers") / name).read_bytes())
    judged(opener, tmp_path, "file", 100)

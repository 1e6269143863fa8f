"""The benchmark of TorToiSe's stages: it measures all of them, says where one fails, and compares truly."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
STAGES = {
    "same-codes", "decode-1", "decode-16", "latents", "diffusion-call", "guided-step", "clvp", "univnet",
    "random-voices", "sentence",
}  # fmt: skip
CLOSE = 1e-4  # of the usual size of the numbers: the same computation in float32
CHILD = """
import torch
from tortoise_child import Kept, Task, serve

def broken():
    raise ValueError("no such weights")

print("this is no answer")
stages = {
    ("add", "float32"): lambda: lambda: torch.ones(2, 3),
    ("add", "broken"): broken,
    ("die", "float32"): lambda: exit("out of memory"),
}
serve("ours", stages, Task.read(__import__("pathlib").Path(__import__("sys").argv[1])), Kept())
"""


def bench(*words, **environment):
    """The script as its user calls it, on tiny networks."""
    return subprocess.run(
        [sys.executable, BENCHMARKS / "bench_tortoise.py", *words, "--rounds", "1", "--threads", "1",
         "--patience", "0"],
        capture_output=True, text=True, check=False,
        env={key: value for key, value in os.environ.items() if key != "TORTOISE_PYTHON"} | environment,
    )  # fmt: skip


def test_every_stage_of_ours_is_measured_without_the_reference(tmp_path):
    done = bench("--into", str(tmp_path / "figures.json"))

    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["stages"].keys() == STAGES
    for name, stage in figures["stages"].items():
        for kind in stage["kinds"]:
            assert (kind["side"], kind["failure"]) == ("ours", "")
            assert len(kind["rounds_s"]) == (name != "same-codes")
            assert min([kind["first_s"], *kind["rounds_s"]]) > 0
    assert "ours uncached" in done.stdout
    assert "5 of 5 codes as ours float32" in done.stdout
    assert "without TorToiSe's own program" in done.stdout
    assert "say nothing about real ones" in done.stdout


@pytest.mark.slow
@pytest.mark.skipif(
    "TORTOISE_PYTHON" not in os.environ,
    reason="TORTOISE_PYTHON is not set: it names a Python that has tortoise-tts 3.0.0",
)
def test_tortoise_itself_gives_the_same_numbers_in_every_stage():
    done = bench(TORTOISE_PYTHON=os.environ["TORTOISE_PYTHON"])

    assert done.returncode == 0, done.stderr
    assert "failed" not in done.stdout
    assert "5 of 5 codes as theirs float32" in done.stdout
    off = re.findall(r"ours float32 .* at most (\S+) of the usual size off theirs float32", done.stdout)
    assert len(off) == len(STAGES - {"same-codes", "decode-1", "decode-16", "sentence"})
    assert max(map(float, off)) < CLOSE


@pytest.fixture
def child(monkeypatch, tmp_path):
    """A side with a stage that works, a kind that fails, and a stage that ends the process."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    from tortoise_rounds import Side

    torch.save({}, tmp_path / "inputs.pt")
    task = {"folder": ".", "inputs": str(tmp_path / "inputs.pt"), "kwargs": {}, "results": str(tmp_path)}
    (tmp_path / "task.json").write_text(json.dumps(task | {"n_codes": 1, "batch": 1, "n_steps": 1}))
    (tmp_path / "child.py").write_text(CHILD)
    command = [Path(sys.executable), tmp_path / "child.py", tmp_path / "task.json"]
    side = Side("ours", command, log=tmp_path / "log", environment={"PYTHONPATH": str(BENCHMARKS)})
    yield side
    side.close()


def test_a_kind_that_fails_is_said_and_the_others_go_on(child):
    from tortoise_rounds import contest

    plain, broken = contest("add", [child], n_rounds=3, patience_s=0.0).contestants

    assert plain.result.equal(torch.ones(2, 3))
    assert len(plain.seconds) == 3
    assert (broken.failure, broken.seconds) == ("ValueError: no such weights", [])


def test_a_process_that_ends_is_named_with_its_last_words(child):
    from tortoise_rounds import contest

    from retimbre.errors import RunError

    with pytest.raises(RunError, match=r"the process of 'ours' ended.*found out of memory"):
        contest("die", [child], n_rounds=1, patience_s=0.0)


def test_what_slows_a_round_down_slows_both_sides(child):
    from tortoise_rounds import Contestant

    theirs = Contestant(side=child, kind="float32", seconds=[2.0, 20.0, 4.0])
    ours = Contestant(side=child, kind="int8", seconds=[1.0, 10.0, 2.0])

    assert ours.times_faster_than(theirs) == [2.0, 2.0, 2.0]


def test_the_limit_is_what_takes_longer_reading_or_computing(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    from machine_limits import Limits

    limits = Limits(read_bytes_per_s=10.0, flop_per_s={"float32": 100.0, "bfloat16": 800.0})

    assert limits.least_seconds(n_weights=100, weight_bytes=4, n_rows=1) == 40.0
    assert limits.least_seconds(n_weights=100, weight_bytes=4, n_rows=40) == 80.0
    assert limits.least_seconds(n_weights=100, weight_bytes=1, n_rows=40) == 10.0

"""The benchmark of TorToiSe's stages: it measures all of them, says where one fails, and compares truly."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from building.tortoise_itself import PYTHON, needs_tortoise

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
STAGES = {
    "same-codes", "decode-1", "decode-16", "latents", "diffusion-call", "guided-step", "clvp", "univnet",
    "random-voices", "sentence",
}  # fmt: skip
CLOSE = 3e-4  # of the usual size of the numbers: float32, but packed products add in another order
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
        env={key: value for key, value in os.environ.items() if key != PYTHON} | environment,
    )  # fmt: skip


def test_every_stage_of_ours_is_measured_without_the_reference(tmp_path):
    done = bench("--into", str(tmp_path / "figures.json"))

    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["stages"].keys() == STAGES
    for name, stage in figures["stages"].items():
        for kind in stage["kinds"]:
            assert (kind["side"], kind["failure"]) == ("ours", "")
            assert bool(kind["rounds_s"]) == (name != "same-codes")
            assert min([kind["first_s"], *kind["rounds_s"]]) > 0
    assert "ours uncached" in done.stdout
    assert "5 of 5 codes as ours float32" in done.stdout
    assert "without TorToiSe's own program" in done.stdout
    assert "say nothing about real ones" in done.stdout


@pytest.mark.slow
@needs_tortoise
def test_tortoise_itself_gives_the_same_numbers_in_every_stage():
    done = bench(**{PYTHON: os.environ[PYTHON]})

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
    sizes = {"n_codes": 1, "batch": 1, "n_steps": 1, "least_seconds": 0.001}
    (tmp_path / "task.json").write_text(json.dumps(task | sizes))
    (tmp_path / "child.py").write_text(CHILD)
    command = [Path(sys.executable), tmp_path / "child.py", tmp_path / "task.json"]
    side = Side("ours", command, log=tmp_path / "log", environment={"PYTHONPATH": str(BENCHMARKS)})
    yield side
    side.close()


def test_a_kind_that_fails_is_said_and_the_others_go_on(child):
    from tortoise_rounds import contest

    plain, broken = contest("add", [child], n_rounds=3, patience_s=0.0).contestants

    assert plain.result.equal(torch.ones(2, 3))
    assert 1 <= len(plain.seconds) <= 6  # as calm as the machine is
    assert (broken.failure, broken.seconds) == ("ValueError: no such weights", [])


@pytest.mark.parametrize(
    ("shares", "n_held", "counted"),
    [
        ([0.0, 0.05, 0.0], 3, [1.0, 2.0, 3.0]),
        ([0.0, 0.9, 0.0, 0.0], 4, [1.0, 3.0, 4.0]),
        ([0.9, 0.9, 0.2, 0.9, 0.9, 0.9], 6, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
        ([0.9, 0.9, 0.9, 0.0, 0.9, 0.9], 6, [4.0]),
    ],
)
def test_rounds_that_others_disturbed_do_not_count_where_there_are_calm_ones(
    child, monkeypatch, shares, n_held, counted
):
    import tortoise_rounds

    class Told:
        given = iter(shares)

        def share(self, own_cpu_seconds):
            return next(self.given)

    class Counting:
        name, stages, n = "ours", [("add", "float32")], 0

        def ask(self, what, **more):
            self.n += what == "run"
            return (
                child.ask("prepare", **more)
                if what == "prepare"
                else dict.fromkeys(("seconds", "cpu_seconds", "repeats"), float(self.n))
            )

    monkeypatch.setattr(tortoise_rounds, "Others", Told)
    held = tortoise_rounds.contest("add", [Counting()], n_rounds=3, patience_s=0.0)

    assert held.n_rounds == n_held
    assert held.contestants[0].seconds == counted
    assert held.n_calm == sum(share <= 0.1 for share in shares)


def test_a_process_that_ends_is_named_with_its_last_words(child):
    from tortoise_rounds import contest

    from retimbre.errors import RunError

    with pytest.raises(RunError, match=r"(?s)the process of 'ours' ended: found .*out of memory"):
        contest("die", [child], n_rounds=1, patience_s=0.0)


def test_what_slows_a_round_down_slows_both_sides(child):
    from tortoise_rounds import Contestant, Round

    def took(*seconds):
        rounds = [Round(seconds=each, cpu_seconds=each) for each in seconds]
        return Contestant(side=child, kind="float32", rounds=rounds)

    assert took(1.0, 10.0, 2.0).times_faster_than(took(2.0, 20.0, 4.0)) == [2.0, 2.0, 2.0]


def test_the_limit_is_what_takes_longer_reading_or_computing(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    from machine_limits import Limits

    limits = Limits(read_bytes_per_s=10.0, flop_per_s={"float32": 100.0, "bfloat16": 800.0})

    assert limits.least_seconds(n_weights=100, weight_bytes=4, n_rows=1) == 40.0
    assert limits.least_seconds(n_weights=100, weight_bytes=4, n_rows=40) == 80.0
    assert limits.least_seconds(n_weights=100, weight_bytes=1, n_rows=40) == 10.0


def test_of_two_measurements_of_the_machine_the_better_one_holds(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    from machine_limits import Limits

    one = Limits(read_bytes_per_s=10.0, flop_per_s={"float32": 100.0, "bfloat16": 300.0})
    other = Limits(read_bytes_per_s=12.0, flop_per_s={"float32": 90.0, "bfloat16": 800.0})

    both = Limits(read_bytes_per_s=12.0, flop_per_s={"float32": 100.0, "bfloat16": 800.0})
    assert one.or_better(other) == other.or_better(one) == both

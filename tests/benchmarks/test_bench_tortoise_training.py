"""The benchmark of learning: every way to learn is measured, and memory is asked for before it is taken."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from building.tortoise_itself import PYTHON

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
DLAS = "DLAS"


def bench(*words, **environment):
    """The script as its user calls it, on a tiny network."""
    return subprocess.run(
        [sys.executable, BENCHMARKS / "bench_tortoise_training.py", *words, "--rounds", "1",
         "--threads", "1", "--patience", "0"],
        capture_output=True, text=True, check=False,
        env={key: value for key, value in os.environ.items() if key not in (PYTHON, DLAS)} | environment,
    )  # fmt: skip


def test_every_way_of_ours_is_measured_without_dl_art_school(tmp_path):
    done = bench("--into", str(tmp_path / "figures.json"))

    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["stages"].keys() == {"step", "float32", "lora"}
    for stage in figures["stages"].values():
        assert all((kind["side"], kind["failure"]) == ("ours", "") for kind in stage["kinds"])
        assert all(min(kind["rounds_s"]) > 0 for kind in stage["kinds"])
    assert "without DL-Art-School" in done.stdout
    assert "say nothing about real ones" in done.stdout


@pytest.mark.slow
@pytest.mark.skipif(not {PYTHON, DLAS} <= os.environ.keys(), reason=f"{PYTHON} and {DLAS} name the peer")
def test_dl_art_school_itself_takes_its_turns():
    done = bench("--stages", "step", **{name: os.environ[name] for name in (PYTHON, DLAS)})

    assert done.returncode == 0, done.stderr
    assert "failed" not in done.stdout
    assert "x theirs float32" in done.stdout
    assert "x theirs bfloat16" in done.stdout


def test_without_enough_memory_nothing_is_begun(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import bench_tortoise_training

    from retimbre.errors import NoRoom

    monkeypatch.setattr(bench_tortoise_training, "free_memory", lambda device: 12_000_000_000)
    bench_tortoise_training.require_memory(1)
    with pytest.raises(NoRoom, match="too little free memory"):
        bench_tortoise_training.require_memory(2)

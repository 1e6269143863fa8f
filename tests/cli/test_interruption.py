"""Ctrl-C, and a reader that goes away, end a command quietly; training saves first."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from subprocess import PIPE

import pytest
from safetensors.torch import load_file

import retimbre as retimbre_package
from retimbre.cli.console import Console


def test_ctrl_c_anywhere_ends_with_130_and_without_a_traceback(project, retimbre, monkeypatch):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("retimbre.training.listed.read_filelist", interrupt)
    before = project.files()

    ended = retimbre("train", "text-to-spec", project.tuning)

    assert ended.code == 130
    assert "Traceback" not in ended.err
    assert project.files() == before


@pytest.mark.parametrize("stage", ["text-to-spec", "spec-to-wav"])
def test_ctrl_c_in_training_saves_first_and_the_run_goes_on_to_the_same_weights(
    project, retimbre, monkeypatch, stage
):
    words = ("train", stage, project.tuning if stage == "text-to-spec" else project.matching)
    words += ("-c", "training.checkpoint_every_steps=10")
    assert retimbre(*words, "-c", "name=whole").code == 0
    progress = Console.progress

    def press(console, task, done, total, note=""):
        progress(console, task, done, total, note)
        if task == "Training" and done == 1:
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(Console, "progress", press)
        ended = retimbre(*words, "-c", "name=stopped")
    assert ended.code == 130
    assert "go on with --resume" in ended.err
    assert (project.runs / "stopped" / "latest").read_text() == "step-000001\n"

    assert retimbre(*words, "-c", "name=stopped", "--resume").code == 0
    weights = [
        load_file(project.runs / name / "checkpoints" / "step-000003" / "model.safetensors")
        for name in ("whole", "stopped")
    ]
    assert all(weights[0][name].equal(weights[1][name]) for name in weights[0])


@pytest.fixture
def program():
    """The program in a process of its own: program("train", …)."""
    source = str(Path(retimbre_package.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": source}

    def start(*words):
        command = [sys.executable, "-m", "retimbre", *map(str, words)]
        return subprocess.Popen(command, stdout=PIPE, stderr=PIPE, text=True, env=environment)

    return start


def test_a_reader_that_goes_away_ends_it_quietly(project, program):
    texts = [word for number in range(30) for word in ("-t", "one " * (number % 5 + 1) + "a" * number)]
    with program("synthesize", "from-text", project.text_to_spec, "-O", "spec", *texts) as process:
        process.stdout.close()  # as `retimbre … | head -0` does
        said = process.stderr.read()

    assert process.returncode == 1
    assert "Traceback" not in said
    assert "BrokenPipe" not in said
    assert len(list(Path("synthesis_output/synthesized_spec").iterdir())) == 1  # it stopped at once


def test_the_program_itself_ends_with_one_line_and_exit_code_1(project, program):
    with program("train", "text-to-spec", project.tuning, "--resume") as process:
        out, said = process.communicate()

    assert process.returncode == 1
    assert out == ""
    assert said.startswith("error: there is no run to resume in ")
    assert said.count("\n") == 1

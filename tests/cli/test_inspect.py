"""The command prints the report and nothing else."""

import json
import subprocess
import sys

import pytest
import torch
import typer
from typer.testing import CliRunner

from retimbre.cli.inspect import inspect


@pytest.fixture
def run():
    app = typer.Typer()
    app.command()(inspect)
    return lambda *words: CliRunner().invoke(app, list(map(str, words)))


@pytest.fixture
def unknown(tmp_path):
    torch.save({"w": torch.randn(2, 3)}, tmp_path / "a.pth")
    return tmp_path / "a.pth"


def test_text_is_for_people_and_json_for_scripts(run, unknown):
    text, as_json = run(unknown), run(unknown, "--json")
    assert text.exit_code == as_json.exit_code == 0
    assert text.stdout.startswith("Unknown")
    assert json.loads(as_json.stdout)["n_tensors"] == 1


def test_a_missing_file_is_named(run, tmp_path):
    result = run(tmp_path / "missing.ckpt")
    assert result.exit_code != 0


def test_help_does_not_wait_for_torch():
    code = "import sys, retimbre.cli.inspect; raise SystemExit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

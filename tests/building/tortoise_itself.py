"""tortoise-tts 3.0.0 in an environment of its own, for comparison."""

import os
import subprocess
from pathlib import Path

import pytest

PYTHON = "TORTOISE_PYTHON"
needs_tortoise = pytest.mark.skipif(
    PYTHON not in os.environ, reason=f"{PYTHON} is not set: it names a Python that has tortoise-tts 3.0.0"
)


def ask_tortoise(script: str, *words: Path | str, given: str = "") -> str:
    """Run `script` there with these as its arguments and `given` as its input; what it printed."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [os.environ[PYTHON], "-c", script, *map(str, words)]
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout

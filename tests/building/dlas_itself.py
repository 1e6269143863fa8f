"""DL-Art-School in a folder of its own, for comparison; it runs in the Python that has tortoise-tts."""

import os
from pathlib import Path

import pytest

from building.tortoise_itself import PYTHON, ask_tortoise

FOLDER = "DLAS_FOLDER"
needs_dlas = pytest.mark.skipif(
    FOLDER not in os.environ or PYTHON not in os.environ,
    reason=f"{FOLDER} is not set, which names DL-Art-School's folder 'codes', or {PYTHON} is not",
)

# Packages that it imports for pictures, mail and other machines stand in as things that do nothing.
IMPORTING = """
import importlib, sys
from unittest.mock import MagicMock
sys.path.insert(0, sys.argv[1])
own = {"models", "utils", "trainer", "data", "maybe_bnb"}
def imported(name):
    for _ in range(50):
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name.split(".")[0] in own:
                raise
            sys.modules[error.name] = MagicMock()
            for module in [each for each in sys.modules if each.split(".")[0] in own]:
                del sys.modules[module]
"""


def ask_dlas(script: str, *words: Path | str) -> str:
    """Run `script`, in which `imported(name)` gives a module of it, with `words` from sys.argv[2] on."""
    return ask_tortoise(IMPORTING + script, os.environ[FOLDER], *words)

"""`retimbre --diagnostic`: what a bug report needs to say about this installation."""

import platform
import sys
from importlib.metadata import distributions

from retimbre import __version__


def diagnosis() -> str:
    """Versions of Retimbre, Python, the system and every installed package."""
    installed = {(found.metadata["Name"] or "").lower(): found.version for found in distributions()}
    packages = [f"{name}=={version}" for name, version in sorted(installed.items()) if name]
    system = f"{platform.system()} {platform.release()} {platform.machine()}"
    lines = [f"Retimbre {__version__}", f"Python {sys.version.split()[0]}", system, *packages]
    return "\n".join(lines)

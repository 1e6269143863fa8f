"""The SHA-256 of a file: what a checkpoint is known by."""

import hashlib
from pathlib import Path


def sha256_of(path: Path) -> str:
    """As 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

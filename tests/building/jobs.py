"""What the child process of `building.opening` does with a file."""

import io
import tempfile
import traceback
from pathlib import Path

import torch
from safetensors.torch import save

from retimbre.checkpoint.read import read
from retimbre.errors import CheckpointError, UnsafeCheckpoint


def warm_up():
    """Open a file of each container, so that what is imported on the way is there before anybody listens."""
    tensors = {"w": torch.randn(3)}
    modern, legacy = io.BytesIO(), io.BytesIO()
    torch.save(tensors, modern)
    torch.save(tensors, legacy, _use_new_zipfile_serialization=False)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a"
        for content in (modern.getvalue(), legacy.getvalue(), save(tensors), b"{'nothing'}", b"\x93NUMPY"):
            path.write_bytes(content)
            open_file(path=str(path))


def open_file(*, path):
    """Read the contents, the shapes, and each tensor."""
    try:
        contents = read(Path(path))
        contents.tensors.meta()
        contents.other_tensors.meta()
        largest = sum(tensor.nbytes for tensor in contents.tensors.meta().values())
        if largest < 1 << 26:
            for tensor in contents.tensors.values():
                tensor.sum()
    except UnsafeCheckpoint as error:
        return {"ending": "unsafe", "text": str(error)}
    except CheckpointError as error:
        return {"ending": "refused", "text": str(error)}
    except Exception:  # noqa: BLE001 (whatever it is, the test shows it)
        return {"ending": traceback.format_exc()[-1500:]}
    return {"ending": "opens"}


JOBS = {"open_file": open_file}

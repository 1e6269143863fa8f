"""Names and shapes of the weights in a file, without reading the weights."""

from pathlib import Path

from retimbre.checkpoint.read import read


def shapes_of(path: Path) -> dict[str, tuple[int, ...]]:
    """Name -> shape. Nothing but the list of contents is read."""
    return {name: tuple(tensor.shape) for name, tensor in read(path).tensors.meta().items()}

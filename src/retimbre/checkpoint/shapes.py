"""Names, shapes and types of tensors, without reading what is in them."""

from collections.abc import Mapping

from torch import Tensor

from retimbre.checkpoint.lazy import LazyTensors


def shapes_of(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Name -> shape; of the tensors of a file, nothing but the list of contents is read."""
    known = tensors.meta() if isinstance(tensors, LazyTensors) else tensors
    return {name: tuple(tensor.shape) for name, tensor in known.items()}


def outline_of(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Name -> a tensor of the same shape and type on the `meta` device, which holds no numbers."""
    lazy = tensors if isinstance(tensors, LazyTensors) else LazyTensors.in_memory(tensors)
    return lazy.meta()

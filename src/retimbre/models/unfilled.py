"""Networks built without drawing their weights: to be filled from a file, or as outlines without numbers."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

FILLS = frozenset(
    (
        "normal_", "uniform_", "zero_", "fill_", "zeros_", "ones_", "constant_",
        "kaiming_uniform_", "kaiming_normal_", "xavier_uniform_", "xavier_normal_",
    )
)  # fmt: skip
# Of a tensor and a number, as networks work out constants; `normalize` divides by a length.
WITH_A_NUMBER = frozenset(("neg", "div", "__truediv__", "__pow__", "__rpow__", "pow", "normalize"))


class _Unfilled(TorchFunctionMode):
    """Leaves parameters as they come from memory; everything else is worked out as ever.

    Every parameter is one of those that a file must hold, so a network that is filled strictly keeps none of
    what was in that memory. Buffers may be constants that no file has.
    """

    def __torch_function__(
        self,
        func: Any,  # noqa: ANN401 (any function of torch)
        types: Any,  # noqa: ANN401
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        return self._called(func, getattr(func, "__name__", ""), args, kwargs or {})

    def _called(
        self,
        func: Any,  # noqa: ANN401
        name: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:  # noqa: ANN401
        if name in FILLS:
            filled = args[0] if args else kwargs["tensor"]
            if self._is_left(filled):
                return filled
        return func(*args, **kwargs)

    def _is_left(self, tensor: Tensor) -> bool:
        return isinstance(tensor, nn.Parameter)


class _Outlined(_Unfilled):
    """Leaves all tensors without numbers: on the `meta` device, any number would load torch's compiler."""

    def _called(
        self,
        func: Any,  # noqa: ANN401
        name: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:  # noqa: ANN401
        if name in ("randn", "rand"):
            return torch.empty(*args, **kwargs)
        if name == "arange":
            return torch.empty(len(range(*args)), **kwargs)
        if name == "linspace":
            return torch.empty(args[2])
        if name in WITH_A_NUMBER:
            (tensor,) = (each for each in args if isinstance(each, Tensor))
            return torch.empty(tensor.shape)
        return super()._called(func, name, args, kwargs)

    def _is_left(self, tensor: Tensor) -> bool:
        return True


def unfilled_network(build: Callable[[Any], nn.Module], config: Any) -> nn.Module:  # noqa: ANN401
    """A network whose parameters hold anything, to be filled with `load_weights`, which leaves none out."""
    with _Unfilled():
        return build(config)


def outlined_network(build: Callable[[Any], nn.Module], config: Any) -> nn.Module:  # noqa: ANN401
    """A network whose tensors have names, shapes and types, but hold no numbers."""
    with torch.device("meta"), _Outlined():
        return build(config)

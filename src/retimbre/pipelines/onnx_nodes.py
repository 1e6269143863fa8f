"""A network as a list of ONNX operators (opset 18), and the operators that two families share.

Graphs are written operator by operator, because the exporters of torch 2.13 do not serve here: the newer one
cannot trace a length that follows from predictions, and takes half a minute for the starter voice where it is
given; the older one is announced to be removed. Each file is compared with its network when it is written, so
a change of a network that is not made here too is noticed.

A value is the name of a tensor in the graph. Axes as in the networks themselves: [batch times dim].
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

Value = str
Attribute = int | float | str | Sequence[int]
BOOL, INT64, FLOAT = 9, 7, 1  # as ONNX numbers them


@dataclass(frozen=True, kw_only=True)
class Port:
    """An input or an output of the graph.

    Args:
        axes: A number where the length is fixed, else what it is a length of.
    """

    name: str
    kind: Literal["float32", "int64"]
    axes: tuple[str | int, ...]


@dataclass(frozen=True, kw_only=True)
class Node:
    """One operator."""

    op: str
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    attributes: dict[str, Any]


@dataclass(frozen=True)
class Nodes:
    """A graph that grows: operators in the order in which they are worked out, and constants."""

    nodes: list[Node] = field(default_factory=list)
    constants: dict[Value, NDArray[np.generic]] = field(default_factory=dict)

    def add(self, op: str, *inputs: Value, **attributes: Attribute) -> Value:
        """An operator with one output."""
        return self.add_several(op, *inputs, n_outputs=1, **attributes)[0]

    def add_several(
        self, op: str, *inputs: Value, n_outputs: int, **attributes: Attribute
    ) -> tuple[Value, ...]:
        """An operator with several outputs."""
        number = len(self.nodes)
        outputs = tuple(f"{op.lower()}_{number}_{output}" for output in range(n_outputs))
        self.nodes.append(Node(op=op, inputs=inputs, outputs=outputs, attributes=attributes))
        return outputs

    def result(self, name: str, value: Value) -> None:
        """Make a value an output of the graph."""
        self.nodes.append(Node(op="Identity", inputs=(value,), outputs=(name,), attributes={}))

    def weight(self, tensor: Tensor) -> Value:
        """A tensor of the network."""
        return self._constant(tensor.detach().cpu().numpy())

    def number(self, value: float | int) -> Value:
        """One number in float32, without axes."""
        return self._constant(np.array(value, dtype=np.float32))

    def integers(self, *values: int) -> Value:
        """Whole numbers along one axis."""
        return self._constant(np.array(values, dtype=np.int64))

    def integer(self, value: int) -> Value:
        """One whole number, without axes."""
        return self._constant(np.array(value, dtype=np.int64))

    def _constant(self, array: NDArray[np.generic]) -> Value:
        name = f"constant_{len(self.constants)}"
        self.constants[name] = np.array(array, order="C")
        return name

    def length(self, x: Value, axis: int) -> Value:
        """How long an axis is, as one number without axes."""
        return self.add("Gather", self.add("Shape", x), self.integer(axis))

    def count(self, n: Value) -> Value:
        """0, 1, 2 … n - 1."""
        return self.add("Range", self.integer(0), n, self.integer(1))

    def unsqueeze(self, x: Value, *axes: int) -> Value:
        """Axes of length one more."""
        return self.add("Unsqueeze", x, self.integers(*axes))

    def cast(self, x: Value, kind: int) -> Value:
        """The same numbers of another kind."""
        return self.add("Cast", x, to=kind)

    def sum(self, x: Value, axis: int, *, keeps_axis: bool = False) -> Value:
        """The sum over one axis."""
        return self.add("ReduceSum", x, self.integers(axis), keepdims=int(keeps_axis))

    def mask_from_lengths(self, lengths: Value, n: Value) -> Value:
        """[batch n]: True for what is real."""
        return self.add("Less", self.count(n), self.unsqueeze(lengths, 1))

    def only_real(self, x: Value, is_real: Value) -> Value:
        """[batch times dim] with zeros where there is padding."""
        return self.add("Mul", x, self.unsqueeze(self.cast(is_real, FLOAT), -1))

    def linear(self, x: Value, weight: Tensor, bias: Tensor | None) -> Value:
        """What `functional.linear` gives."""
        product = self.add("MatMul", x, self.weight(weight.T))
        return product if bias is None else self.add("Add", product, self.weight(bias))

    def layer_norm(self, x: Value, norm: nn.LayerNorm) -> Value:
        """Over the last axis."""
        return self.add(
            "LayerNormalization",
            x,
            self.weight(norm.weight),
            self.weight(norm.bias),
            axis=-1,
            epsilon=norm.eps,
        )

    def convolve(self, x: Value, conv: nn.Conv1d | nn.ConvTranspose1d) -> Value:
        """A convolution whose channels are the second axis."""
        bias = () if conv.bias is None else (self.weight(conv.bias),)
        op = "ConvTranspose" if isinstance(conv, nn.ConvTranspose1d) else "Conv"
        padding = int(conv.padding[0])
        return self.add(
            op,
            x,
            self.weight(conv.weight),
            *bias,
            dilations=conv.dilation,
            group=conv.groups,
            pads=(padding, padding),
            strides=conv.stride,
        )

    def transpose(self, x: Value, *axes: int) -> Value:
        """The axes in another order."""
        return self.add("Transpose", x, perm=axes)


def parts_of(module: nn.Module) -> list[Any]:
    """Its children in their order; the annotations of torch forget of which classes they are."""
    return list(module.children())


@dataclass(frozen=True, kw_only=True)
class Graph:
    """A whole graph. Values named like its inputs come from outside."""

    nodes: Nodes
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]

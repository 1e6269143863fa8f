"""Run an ONNX file on tensors. The only file that imports onnxruntime."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from retimbre.errors import MissingExtra


class OnnxModel:
    """An ONNX file that is ready to run on the CPU.

    Args:
        n_threads: None: as many as torch uses.

    Raises:
        MissingExtra: without the package onnxruntime.
    """

    def __init__(self, path: Path, *, n_threads: int | None = None) -> None:
        try:
            import onnxruntime  # type: ignore[import-untyped, import-not-found, unused-ignore]
        except ImportError as error:
            raise MissingExtra("Running ONNX", extra="onnx") from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = n_threads or torch.get_num_threads()
        self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.input_names = tuple(one.name for one in self.session.get_inputs())
        self.output_names = tuple(one.name for one in self.session.get_outputs())
        self.metadata: Mapping[str, str] = self.session.get_modelmeta().custom_metadata_map

    def __call__(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Outputs by name; what the file does not read is left out."""
        arrays = {name: inputs[name].numpy() for name in self.input_names}
        outputs = self.session.run(None, arrays)
        return {name: torch.from_numpy(array) for name, array in zip(self.output_names, outputs, strict=True)}

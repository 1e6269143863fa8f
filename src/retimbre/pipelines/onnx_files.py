"""A model as an ONNX file, compared with what it was made from. The only file that imports onnx."""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from retimbre import __version__
from retimbre.checkpoint.write import replace_file
from retimbre.errors import CheckpointError, MissingExtra
from retimbre.models.fastspeech2.model import FastSpeech2
from retimbre.models.hifigan.model import Generator
from retimbre.models.load import Loaded
from retimbre.models.origin import METADATA_KEY
from retimbre.pipelines.onnx_difference import Difference, difference
from retimbre.pipelines.onnx_nodes import Graph, Port
from retimbre.pipelines.onnx_session import OnnxModel
from retimbre.pipelines.onnx_spec_to_wav import spec_to_wav_graph
from retimbre.pipelines.onnx_text_to_spec import text_to_spec_graph

OPSET = 18  # onnxruntime reads it since 1.14
IR_VERSION = 8  # the version of the file format that came with it


def has_onnx() -> bool:
    """Whether the optional packages are installed."""
    return find_spec("onnx") is not None and find_spec("onnxruntime") is not None


def write_onnx(loaded: Loaded, path: Path) -> Difference:
    """Write a text-to-spec model or a vocoder to `path`, and say how far its output is from the model's.

    In float32, a vocoder without weight norm and discriminators; `loaded` stays as it is.

    Raises:
        MissingExtra: without the packages onnx and onnxruntime.
        CheckpointError: for a model of another family, or if the file gives something else than the model;
            nothing is then left at `path` that was not there before.
    """
    if not has_onnx():
        raise MissingExtra("Writing ONNX", extra="onnx")
    network = _network_in(loaded)
    graph = spec_to_wav_graph(network) if isinstance(network, Generator) else text_to_spec_graph(network)
    found: list[Difference] = []

    def write(temporary: Path) -> None:
        _save(_proto_of(graph, loaded), temporary)
        found.append(difference(OnnxModel(temporary), network))
        found[0].require_small(path)

    replace_file(path, write)
    return found[0]


def _network_in(loaded: Loaded) -> FastSpeech2 | Generator:
    """A new network with the same weights: on the CPU, in float32, without weight norm."""
    network: FastSpeech2 | Generator
    if isinstance(loaded.model, FastSpeech2):
        network = FastSpeech2(loaded.model.config)
    elif isinstance(loaded.model, Generator):
        network = Generator(loaded.model.config)
    else:
        raise CheckpointError(
            f"{loaded.path.name} cannot be written as ONNX",
            expected="a model of the family fastspeech2 or hifigan",
            found=loaded.description.family,
        )
    network.load_state_dict(loaded.model.state_dict())
    if isinstance(network, Generator):
        # A deep copy would share its classes with the original, whose weight norms would be lost with these.
        network.remove_weight_norm()
    return network.eval().requires_grad_(False)


def _proto_of(graph: Graph, loaded: Loaded) -> Any:  # noqa: ANN401 (onnx.ModelProto; onnx is optional)
    from onnx import helper, numpy_helper  # type: ignore[import-not-found, unused-ignore]

    nodes = [
        helper.make_node(node.op, node.inputs, node.outputs, **node.attributes) for node in graph.nodes.nodes
    ]
    constants = [numpy_helper.from_array(array, name) for name, array in graph.nodes.constants.items()]
    proto = helper.make_model(
        helper.make_graph(
            nodes,
            loaded.stage,
            [_value_info(port) for port in graph.inputs],
            [_value_info(port) for port in graph.outputs],
            constants,
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="retimbre",
        producer_version=__version__,
    )
    helper.set_model_props(proto, {METADATA_KEY: json.dumps(loaded.description.to_dict())})
    return proto


def _value_info(port: Port) -> Any:  # noqa: ANN401 (onnx.ValueInfoProto)
    from onnx import TensorProto, helper

    kinds = {"float32": TensorProto.FLOAT, "int64": TensorProto.INT64}
    return helper.make_tensor_value_info(port.name, kinds[port.kind], port.axes)


def _save(proto: Any, path: Path) -> None:  # noqa: ANN401 (onnx.ModelProto)
    from onnx import checker

    checker.check_model(proto, full_check=True)
    path.write_bytes(proto.SerializeToString())

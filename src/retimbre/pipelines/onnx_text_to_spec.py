"""FastSpeech 2 as ONNX operators: `retimbre.models.fastspeech2`, part by part, as it speaks from text alone.

Axes used in this file:
    batch    utterances
    symbols  symbols of the longest text, padded with 0
    frames   frames of the longest utterance, padded with silence
    times    symbols or frames
    dim      channels of the encoder
    mels     bands of a spec
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from retimbre.models.fastspeech2.config import FastSpeech2Config, Level
from retimbre.models.fastspeech2.conformer import (
    Conformer,
    ConformerLayer,
    ConvModule,
    FeedForward,
    SelfAttention,
)
from retimbre.models.fastspeech2.model import POSTNET_LAYERS, FastSpeech2, PostNet
from retimbre.models.fastspeech2.symbols import FeatureInput
from retimbre.models.fastspeech2.variance import MOST_FRAMES, DepthwiseSeparable, VariancePredictor
from retimbre.nn.conv import ConvOverTime
from retimbre.nn.norms import MaskedBatchNorm1d
from retimbre.pipelines.onnx_nodes import FLOAT, INT64, Graph, Nodes, Port, Value, parts_of

CONTROLS = ("duration_control", "pitch_control", "energy_control")


@dataclass(frozen=True)
class _Source:
    """Energy or pitch: its name, where it is predicted, and what is added for it."""

    name: str
    level: Level
    predictor: VariancePredictor
    edges: Tensor
    table: nn.Embedding


def text_to_spec_graph(network: FastSpeech2) -> Graph:
    """`symbols` and what goes with them -> `spec` [batch mels frames] and its prosody.

    Args:
        network: In float32, on the CPU.
    """
    nodes = Nodes()
    is_symbol = nodes.mask_from_lengths("lengths", nodes.length("symbols", 1))
    x = _conformer(nodes, _embedded(nodes, network), is_symbol, network.encoder)
    x = _with_voice(nodes, x, network)
    of_symbols, of_frames = (
        [source for source in _sources(network) if source.level is level]
        for level in (Level.PHONE, Level.FRAME)
    )
    x, by_symbol = _with_prosody(nodes, x, is_symbol, of_symbols)
    durations = _durations(nodes, x, is_symbol, network)
    n_frames = nodes.sum(durations, 1)
    is_frame = nodes.mask_from_lengths(n_frames, nodes.add("ReduceMax", n_frames, keepdims=0))
    x = _stretched(nodes, x, durations, is_frame)
    x, by_frame = _with_prosody(nodes, x, is_frame, of_frames)
    spec = _decoded(nodes, x, is_frame, network)
    results = {"spec": spec, "n_frames": n_frames, "durations": durations, **by_symbol, **by_frame}
    for name, value in results.items():
        nodes.result(name, value)
    return Graph(nodes=nodes, inputs=_inputs(network.config), outputs=_outputs(network.config))


def _inputs(config: FastSpeech2Config) -> tuple[Port, ...]:
    of_batch = ["lengths"]
    of_batch += ["speaker"] if config.n_speakers else []
    of_batch += ["language"] if config.n_languages else []
    return (
        Port(name="symbols", kind="int64", axes=("batch", "symbols")),
        *(Port(name=name, kind="int64", axes=("batch",)) for name in of_batch),
        *(Port(name=name, kind="float32", axes=()) for name in CONTROLS),
    )


def _outputs(config: FastSpeech2Config) -> tuple[Port, ...]:
    times = {Level.PHONE: "symbols", Level.FRAME: "frames"}
    return (
        Port(name="spec", kind="float32", axes=("batch", config.n_mels, "frames")),
        Port(name="n_frames", kind="int64", axes=("batch",)),
        Port(name="durations", kind="int64", axes=("batch", "symbols")),
        Port(name="energy", kind="float32", axes=("batch", times[config.energy_level])),
        Port(name="pitch", kind="float32", axes=("batch", times[config.pitch_level])),
    )


def _embedded(nodes: Nodes, network: FastSpeech2) -> Value:
    layer = network.text_input_layer
    if isinstance(layer, FeatureInput):
        rows = nodes.add("Gather", nodes.weight(layer.features), "symbols")
        x = nodes.linear(rows, layer.weight, None)
    else:
        x = nodes.add("Gather", nodes.weight(layer.weight), "symbols")
    return _with_positions(nodes, x, network)


def _with_positions(nodes: Nodes, x: Value, network: FastSpeech2) -> Value:
    numbers = nodes.cast(nodes.count(nodes.length(x, 1)), FLOAT)
    frequencies = nodes.weight(network.position_embedding.inv_freq)
    angles = nodes.add("Mul", nodes.unsqueeze(numbers, 1), frequencies)
    positions = nodes.add("Concat", nodes.add("Sin", angles), nodes.add("Cos", angles), axis=-1)
    return nodes.add("Add", x, positions)


def _with_voice(nodes: Nodes, x: Value, network: FastSpeech2) -> Value:
    if network.gst is not None:
        x = nodes.add("Add", x, nodes.weight(network.gst.without_reference(1)))
    tables = {"speaker": network.speaker_embedding, "language": network.language_embedding}
    for name, table in tables.items():
        if table is not None:
            row = nodes.add("Gather", nodes.weight(table.weight), name)
            x = nodes.add("Add", x, nodes.unsqueeze(row, 1))
    return x


def _conformer(nodes: Nodes, x: Value, is_real: Value, conformer: Conformer) -> Value:
    for layer in parts_of(conformer.conformer_layers):
        x = _conformer_layer(nodes, x, is_real, layer)
    return x


def _conformer_layer(nodes: Nodes, x: Value, is_real: Value, layer: ConformerLayer) -> Value:
    half = nodes.number(0.5)
    x = nodes.add("Add", x, nodes.add("Mul", _feed_forward(nodes, x, layer.ffn1), half))
    normed = nodes.layer_norm(x, layer.self_attn_layer_norm)
    x = nodes.add("Add", x, _attention(nodes, normed, is_real, layer.self_attn))
    x = nodes.add("Add", x, _conv_module(nodes, x, is_real, layer.conv_module))
    x = nodes.add("Add", x, nodes.add("Mul", _feed_forward(nodes, x, layer.ffn2), half))
    return nodes.layer_norm(x, layer.final_layer_norm)


def _silu(nodes: Nodes, x: Value) -> Value:
    return nodes.add("Mul", x, nodes.add("Sigmoid", x))


def _feed_forward(nodes: Nodes, x: Value, part: FeedForward) -> Value:
    norm, widen, _, _, narrow, _ = parts_of(part.sequential)
    x = nodes.linear(nodes.layer_norm(x, norm), widen.weight, widen.bias)
    return nodes.linear(_silu(nodes, x), narrow.weight, narrow.bias)


def _attention(nodes: Nodes, x: Value, is_real: Value, part: SelfAttention) -> Value:
    joined = nodes.linear(x, part.in_proj_weight, part.in_proj_bias)
    dim = part.out_proj.in_features
    by_head = nodes.add("Reshape", joined, nodes.integers(0, 0, 3, part.n_heads, dim // part.n_heads))
    by_role = nodes.transpose(by_head, 2, 0, 3, 1, 4)
    query, key, value = (nodes.add("Gather", by_role, nodes.integer(role)) for role in range(3))
    scaled = nodes.add("Mul", query, nodes.number((dim // part.n_heads) ** -0.5))
    score = nodes.add("MatMul", scaled, nodes.transpose(key, 0, 1, 3, 2))
    masked = nodes.add("Where", nodes.unsqueeze(is_real, 1, 2), score, nodes.number(-torch.inf))
    mixed = nodes.add("MatMul", nodes.add("Softmax", masked, axis=-1), value)
    joined = nodes.add("Reshape", nodes.transpose(mixed, 0, 2, 1, 3), nodes.integers(0, 0, dim))
    return nodes.linear(joined, part.out_proj.weight, part.out_proj.bias)


def _conv_module(nodes: Nodes, x: Value, is_real: Value, part: ConvModule) -> Value:
    widen, _, convolve, norm, _, mix, _ = parts_of(part.sequential)
    both = _over_time(nodes, nodes.layer_norm(x, part.layer_norm), widen)
    values, gate = nodes.add_several("Split", both, n_outputs=2, axis=-1, num_outputs=2)
    x = nodes.only_real(nodes.add("Mul", values, nodes.add("Sigmoid", gate)), is_real)
    x = _silu(nodes, _normed(nodes, _over_time(nodes, x, convolve), norm))
    return _over_time(nodes, x, mix)


def _over_time(nodes: Nodes, x: Value, conv: ConvOverTime) -> Value:
    if conv.kernel_size == (1,):
        return nodes.linear(x, conv.weight.squeeze(-1), conv.bias)
    return nodes.transpose(nodes.convolve(nodes.transpose(x, 0, 2, 1), conv), 0, 2, 1)


def _normed(nodes: Nodes, x: Value, norm: MaskedBatchNorm1d) -> Value:
    mean, variance = norm.remembered()
    scale = torch.rsqrt(variance + norm.eps) * norm.weight
    scaled = nodes.add("Mul", x, nodes.weight(scale))
    return nodes.add("Add", scaled, nodes.weight(norm.bias - mean * scale))


def _predicted(nodes: Nodes, x: Value, is_real: Value, predictor: VariancePredictor) -> Value:
    for layer in parts_of(predictor.conv):
        wrapped, _, norm, _ = parts_of(layer.layers)
        conv, x = wrapped.module, nodes.only_real(x, is_real)
        for one in parts_of(conv.model) if isinstance(conv, DepthwiseSeparable) else [conv]:
            x = _over_time(nodes, x, one)
        x = nodes.layer_norm(nodes.add("Relu", x), norm)
    value = nodes.linear(x, predictor.linear.weight, predictor.linear.bias)
    value = nodes.add("Squeeze", value, nodes.integers(-1))
    return nodes.add("Where", is_real, value, nodes.number(0.0))


def _sources(network: FastSpeech2) -> tuple[_Source, ...]:
    """Energy comes first, as in the network: pitch is predicted from what it has been added to."""
    part = network.variance_adaptor
    energy, pitch = part.energy_predictor, part.pitch_predictor
    return (
        _Source("energy", part.energy_level, energy, part.energy_bins, part.energy_embedding),
        _Source("pitch", part.pitch_level, pitch, part.pitch_bins, part.pitch_embedding),
    )


def _with_prosody(
    nodes: Nodes, x: Value, is_real: Value, sources: Sequence[_Source]
) -> tuple[Value, dict[str, Value]]:
    """What was added to `x`, and the numbers that decided it."""
    predicted: dict[str, Value] = {}
    for source in sources:
        value = _predicted(nodes, x, is_real, source.predictor)
        value = nodes.add("Mul", value, f"{source.name}_control")
        is_above = nodes.add("Greater", nodes.unsqueeze(value, -1), nodes.weight(source.edges))
        row = nodes.sum(nodes.cast(is_above, INT64), -1)  # as `torch.bucketize` counts
        x = nodes.add("Add", x, nodes.add("Gather", nodes.weight(source.table.weight), row))
        predicted[source.name] = value
    return x, predicted


def _durations(nodes: Nodes, x: Value, is_symbol: Value, network: FastSpeech2) -> Value:
    """As `to_frames` works them out."""
    log_durations = _predicted(nodes, x, is_symbol, network.variance_adaptor.duration_predictor)
    rounded = nodes.add("Round", nodes.add("Sub", nodes.add("Exp", log_durations), nodes.number(1.0)))
    stretched = nodes.add("Mul", rounded, "duration_control")
    limited = nodes.add("Clip", stretched, nodes.number(0.0), nodes.number(MOST_FRAMES))
    frames = nodes.add("Mul", nodes.cast(limited, INT64), nodes.cast(is_symbol, INT64))
    nothing = nodes.integer(0)
    is_empty = nodes.add("Equal", nodes.sum(frames, 1, keeps_axis=True), nothing)
    is_first = nodes.add("Equal", nodes.count(nodes.length(frames, 1)), nothing)
    return nodes.add("Add", frames, nodes.cast(nodes.add("And", is_empty, is_first), INT64))


def _stretched(nodes: Nodes, x: Value, durations: Value, is_frame: Value) -> Value:
    """Repeat what each symbol holds for as many frames as it lasts."""
    ends = nodes.add("CumSum", durations, nodes.integer(1))
    frames = nodes.unsqueeze(nodes.count(nodes.length(is_frame, 1)), 0, 2)  # [1 frames 1]
    is_over = nodes.add("GreaterOrEqual", frames, nodes.unsqueeze(ends, 1))  # [batch frames symbols]
    last = nodes.add("Sub", nodes.length(durations, 1), nodes.integer(1))
    symbol_of_frame = nodes.add("Min", nodes.sum(nodes.cast(is_over, INT64), 2), last)
    return nodes.add("GatherND", x, nodes.unsqueeze(symbol_of_frame, 2), batch_dims=1)


def _decoded(nodes: Nodes, x: Value, is_frame: Value, network: FastSpeech2) -> Value:
    """[batch mels frames], after the post-net where there is one; padding is silence."""
    x = _conformer(nodes, _with_positions(nodes, x, network), is_frame, network.decoder)
    spec = nodes.linear(x, network.mel_linear.weight, network.mel_linear.bias)
    if network.postnet is not None:
        spec = nodes.add("Add", spec, _corrections(nodes, spec, is_frame, network.postnet))
    silence = nodes.number(network.config.silence)
    spec = nodes.add("Where", nodes.unsqueeze(is_frame, -1), spec, silence)
    return nodes.transpose(spec, 0, 2, 1)


def _corrections(nodes: Nodes, x: Value, is_frame: Value, postnet: PostNet) -> Value:
    for number, layer in enumerate(parts_of(postnet.convolutions), start=1):
        conv, norm = parts_of(layer)
        x = _normed(nodes, _over_time(nodes, nodes.only_real(x, is_frame), conv.conv), norm)
        x = nodes.add("Tanh", x) if number < POSTNET_LAYERS else x
    return x

"""HiFi-GAN as ONNX operators: `retimbre.models.hifigan.model`, part by part, for whole specs without padding.

Axes used in this file:
    batch    specs of one length
    mels     bands of a spec
    frames   of a spec
    samples  of the waveform
"""

from functools import reduce

import torch
from torch import Tensor

from retimbre.models.hifigan.inverse_stft import InverseSTFT
from retimbre.models.hifigan.model import SLOPE, Generator, ResBlock1, ResBlock2
from retimbre.pipelines.onnx_nodes import Graph, Nodes, Port, Value, parts_of

LAST_SLOPE = 0.01  # of `last_activation`


def spec_to_wav_graph(generator: Generator) -> Graph:
    """`spec` [batch mels frames] -> `waveform` [batch samples].

    Args:
        generator: In float32, on the CPU, and without weight norm.
    """
    nodes = Nodes()
    x = _upsampled(nodes, "spec", generator)
    last = nodes.add("LeakyRelu", x, alpha=LAST_SLOPE)
    if generator.config.is_istft:
        wave = _from_istft(nodes, last, generator)
    else:
        wave = nodes.add("Tanh", nodes.convolve(last, generator.conv_post))
    nodes.result("waveform", nodes.add("Squeeze", wave, nodes.integers(1)))
    return Graph(
        nodes=nodes,
        inputs=(Port(name="spec", kind="float32", axes=("batch", generator.config.n_mels, "frames")),),
        outputs=(Port(name="waveform", kind="float32", axes=("batch", "samples")),),
    )


def _upsampled(nodes: Nodes, spec: Value, generator: Generator) -> Value:
    n_blocks = len(generator.config.resblock_kernels)
    x = nodes.convolve(spec, generator.conv_pre)
    for stage, up in enumerate(parts_of(generator.ups)):
        x = nodes.convolve(nodes.add("LeakyRelu", x, alpha=SLOPE), up)
        blocks = parts_of(generator.resblocks)[stage * n_blocks : (stage + 1) * n_blocks]
        summed = reduce(lambda a, b: nodes.add("Add", a, b), [_block(nodes, x, block) for block in blocks])
        x = nodes.add("Div", summed, nodes.number(n_blocks))
    return x


def _block(nodes: Nodes, x: Value, block: ResBlock1 | ResBlock2) -> Value:
    lists = [block.convs1, block.convs2] if isinstance(block, ResBlock1) else [block.convs]
    chains = zip(*map(parts_of, lists), strict=True)
    for chain in chains:
        inner = x
        for conv in chain:
            inner = nodes.convolve(nodes.add("LeakyRelu", inner, alpha=SLOPE), conv)
        x = nodes.add("Add", x, inner)
    return x


def _from_istft(nodes: Nodes, x: Value, generator: Generator) -> Value:
    one_column_before = nodes.integers(0, 0, 1, 0, 0, 0)
    x = nodes.add("Pad", x, one_column_before, mode="reflect")
    both = nodes.convolve(x, generator.conv_post)
    log_magnitude, angle = nodes.add_several("Split", both, n_outputs=2, axis=1, num_outputs=2)
    magnitude, phase = nodes.add("Exp", log_magnitude), nodes.add("Sin", angle)
    spectrum = nodes.add(
        "Concat",
        nodes.add("Mul", magnitude, nodes.add("Cos", phase)),
        nodes.add("Mul", magnitude, nodes.add("Sin", phase)),
        axis=1,
    )
    inverse = generator.inverse_stft
    shape = nodes.add("Concat", nodes.integers(1, 1), nodes.unsqueeze(nodes.length(x, 2), 0), axis=0)
    ones = nodes.add("Expand", nodes.number(1.0), shape)
    weight = _added_up(nodes, ones, inverse.envelope, inverse)
    weight = nodes.add("Max", weight, nodes.number(torch.finfo(torch.float32).tiny))
    return nodes.add("Div", _added_up(nodes, spectrum, inverse.synthesis, inverse), weight)


def _added_up(nodes: Nodes, columns: Value, basis: Tensor, inverse: InverseSTFT) -> Value:
    """Overlapping columns; half of the first and half of the last one are cut off."""
    half = inverse.n_fft_samples // 2
    return nodes.add(
        "ConvTranspose", columns, nodes.weight(basis), strides=(inverse.hop_samples,), pads=(half, half)
    )

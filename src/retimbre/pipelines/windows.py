"""A long spec as sound, a window at a time: the same samples as all at once, in a memory that does not grow.

Each window is given some frames of its neighbours, as many as a sample can hear; what they sound like is cut
off again. So a text that was spoken in pieces has no joints: the vocoder never sees the end of a piece.

Axes used in this file:
    mels     bands of the spectrogram
    frames   of the whole spec
    samples  of the waveform
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from retimbre.models.hifigan.config import GeneratorConfig
from retimbre.models.hifigan.model import Generator

WINDOW_FRAMES = 2048  # 24 s at EveryVoice's usual sizes
OUTER_RADIUS = 3  # of the first and the last convolution


def sound_of(
    spec: Float[Tensor, "mels frames"], generator: Generator, *, window_frames: int = WINDOW_FRAMES
) -> Float[Tensor, "samples"]:
    """The waveform on the CPU; `hop_samples` of the generator for every frame."""
    n_frames, hop = spec.shape[1], generator.config.hop_samples
    context = context_frames(generator.config)
    device, parts = next(generator.parameters()).device, []
    for start in range(0, n_frames, window_frames):
        end = min(start + window_frames, n_frames)
        first, last = max(start - context, 0), min(end + context, n_frames)
        with torch.inference_mode():
            wave = generator(spec[:, first:last].unsqueeze(0).to(device)).float().reshape(-1).cpu()
        parts.append(wave[(start - first) * hop : (end - first) * hop])
    return torch.cat(parts).clone()


def context_frames(config: GeneratorConfig) -> int:
    """How many frames away a sample of the waveform can still hear a change of the spec, or a few more."""
    radius = OUTER_RADIUS
    if config.istft_n_fft_samples:
        radius += math.ceil(config.istft_n_fft_samples / 2 / config.istft_hop_samples) + 1
    blocks = list(zip(config.resblock_kernels, config.resblock_dilations, strict=True))
    for rate, kernel in reversed(list(zip(config.upsample_rates, config.upsample_kernels, strict=True))):
        radius += max(_radius(config, kernel, dilations) for kernel, dilations in blocks)
        radius = math.ceil((radius + kernel) / rate) + 1
    return radius + OUTER_RADIUS


def _radius(config: GeneratorConfig, kernel: int, dilations: tuple[int, ...]) -> int:
    """Of one residual block; in blocks of kind 1 a plain convolution follows every dilated one."""
    plain = len(dilations) if config.resblock == "1" else 0
    return (kernel - 1) // 2 * (sum(dilations) + plain)

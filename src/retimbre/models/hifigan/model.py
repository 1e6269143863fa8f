"""HiFi-GAN: spec -> waveform (https://arxiv.org/abs/2010.05646), and its inverse-STFT variant
(https://arxiv.org/abs/2203.02395), with the tensor names of EveryVoice.

Axes used in this file:
    batch    utterances
    mels     bands of the spectrogram
    frames   of the spectrogram
    dim      channels
    time     columns on the way from frames to samples: every stage makes more of them
    samples  of the waveform
"""

from collections.abc import Iterator
from functools import reduce
from itertools import pairwise

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from retimbre.models.hifigan.config import GeneratorConfig
from retimbre.models.hifigan.inverse_stft import InverseSTFT
from retimbre.nn.masks import mask_from_lengths
from retimbre.nn.weight_norm import fold_weight_norm, weight_norm

SLOPE = 0.1  # of every leaky ReLU but the last
Hidden = Float[Tensor, "batch dim time"]
IsReal = Bool[Tensor, "batch 1 time"] | None
Spec = Float[Tensor, "batch mels frames"]
Lengths = Int[Tensor, "batch"] | None
Wave = Float[Tensor, "batch 1 samples"]


def only_real(x: Hidden, is_real: IsReal) -> Hidden:
    """`x` with padding set to zero: a bias makes it non-zero, and the next kernel would read it."""
    return x if is_real is None else x.masked_fill(~is_real, 0.0)


def real_columns(n_frames: Lengths, longest: int, rates: tuple[int, ...]) -> Iterator[IsReal]:
    """Which columns are real, before the first stage and after each one."""
    columns_per_frame = 1
    for rate in (1, *rates):
        columns_per_frame *= rate
        if n_frames is None:
            yield None
        else:
            lengths, n = n_frames * columns_per_frame, longest * columns_per_frame
            yield mask_from_lengths(lengths, n).unsqueeze(1)


def last_activation(x: Hidden) -> Hidden:
    """What comes before the last convolution."""
    # Checkpoint quirk: the released generators use slope 0.01 here, not SLOPE.
    # Kept so that their weights give the same audio; pinned by test_last_slope_is_small.
    return functional.leaky_relu(x, 0.01)


def same_conv(dim: int, kernel: int, dilation: int) -> nn.Module:
    """A convolution that keeps channels and length."""
    return weight_norm(nn.Conv1d(dim, dim, kernel, dilation=dilation, padding=dilation * (kernel - 1) // 2))


class ResBlock1(nn.Module):
    """Pairs of a dilated and a plain convolution, each pair with a way around it."""

    def __init__(self, dim: int, kernel: int, dilations: tuple[int, ...]) -> None:
        super().__init__()
        self.convs1 = nn.ModuleList(same_conv(dim, kernel, dilation) for dilation in dilations)
        self.convs2 = nn.ModuleList(same_conv(dim, kernel, 1) for _ in dilations)

    def forward(self, x: Hidden, is_real: IsReal = None) -> Hidden:
        for dilated, plain in zip(self.convs1, self.convs2, strict=True):
            inner = only_real(dilated(functional.leaky_relu(x, SLOPE)), is_real)
            x = only_real(x + plain(functional.leaky_relu(inner, SLOPE)), is_real)
        return x


class ResBlock2(nn.Module):
    """Dilated convolutions, each with a way around it."""

    def __init__(self, dim: int, kernel: int, dilations: tuple[int, ...]) -> None:
        super().__init__()
        self.convs = nn.ModuleList(same_conv(dim, kernel, dilation) for dilation in dilations)

    def forward(self, x: Hidden, is_real: IsReal = None) -> Hidden:
        for dilated in self.convs:
            x = only_real(x + dilated(functional.leaky_relu(x, SLOPE)), is_real)
        return x


def stage_dims(config: GeneratorConfig) -> list[int]:
    """Channels before the first stage and after each one."""
    return [config.initial_channels // 2**stage for stage in range(len(config.upsample_rates) + 1)]


def upsampling_layers(config: GeneratorConfig) -> nn.ModuleList:
    """One for each stage: it makes more columns, of half as many channels."""
    stages = zip(pairwise(stage_dims(config)), config.upsample_kernels, config.upsample_rates, strict=True)
    return nn.ModuleList(
        weight_norm(nn.ConvTranspose1d(n_in, n_out, kernel, rate, padding=(kernel - rate) // 2))
        for (n_in, n_out), kernel, rate in stages
    )


def residual_blocks(config: GeneratorConfig) -> nn.ModuleList:
    """Those of the first stage, then those of the next."""
    block = ResBlock1 if config.resblock == "1" else ResBlock2
    blocks = list(zip(config.resblock_kernels, config.resblock_dilations, strict=True))
    return nn.ModuleList(
        block(dim, kernel, dilations) for dim in stage_dims(config)[1:] for kernel, dilations in blocks
    )


def through_stages(
    x: Hidden, ups: nn.ModuleList, resblocks: nn.ModuleList, columns: Iterator[IsReal]
) -> tuple[Float[Tensor, "batch dim_out columns"], Bool[Tensor, "batch 1 columns"] | None]:
    """What the last stage makes of `x`, and which of its columns are real.

    Args:
        x: What goes into the first stage.
        ups: One upsampling layer for each stage.
        resblocks: Equally many for each stage; a stage gives their mean.
        columns: Which columns are real after each stage.
    """
    is_real, n_blocks = None, len(resblocks) // len(ups)
    for stage, up in enumerate(ups):
        is_real = next(columns)
        x = only_real(up(functional.leaky_relu(x, SLOPE)), is_real)
        blocks = resblocks[stage * n_blocks : (stage + 1) * n_blocks]
        x = reduce(torch.add, [block(x, is_real) for block in blocks]) / n_blocks
    return x, is_real


class Generator(nn.Module):
    """The vocoder. Every frame of a spec becomes `config.hop_samples` samples."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        dims = stage_dims(config)
        self.conv_pre = weight_norm(nn.Conv1d(config.n_mels, dims[0], 7, padding=3))
        self.ups = upsampling_layers(config)
        self.resblocks = residual_blocks(config)
        n_out = config.istft_n_fft_samples + 2 if config.istft_n_fft_samples else 1
        self.conv_post = weight_norm(nn.Conv1d(dims[-1], n_out, 7, padding=3))
        if config.istft_n_fft_samples:
            self.inverse_stft = InverseSTFT(config.istft_n_fft_samples, config.istft_hop_samples)

    def forward(self, spec: Spec, n_frames: Lengths = None) -> Wave:
        """The waveform in float32; with `n_frames`, what each utterance alone would give, then silence."""
        x, is_real = self._upsampled(spec, n_frames)
        with torch.autocast(spec.device.type, enabled=False):  # 8 bits of a bfloat16 are too few for a sample
            x = last_activation(x.to(self.conv_post.bias.dtype))
            return self._from_istft(x, n_frames) if self.config.is_istft else self._from_conv(x, is_real)

    def _upsampled(self, spec: Spec, n_frames: Lengths) -> tuple[Hidden, IsReal]:
        columns = real_columns(n_frames, spec.shape[-1], self.config.upsample_rates)
        is_real = next(columns)
        x = only_real(self.conv_pre(only_real(spec, is_real)), is_real)
        return through_stages(x, self.ups, self.resblocks, columns)

    def _from_conv(self, x: Hidden, is_real: IsReal) -> Wave:
        return only_real(self.conv_post(x).float().tanh(), is_real)

    def _from_istft(self, x: Hidden, n_frames: Lengths) -> Wave:
        columns_per_frame = self.config.hop_samples // self.config.istft_hop_samples
        n_columns = None if n_frames is None else n_frames * columns_per_frame + 1
        x = functional.pad(x, (1, 0), mode="reflect")  # centred columns are one more than hops
        log_magnitude, phase = self.conv_post(x).float().chunk(2, dim=1)
        # Checkpoint quirk: the angle is the sine of what the network gives, so never above one radian.
        # Kept so that the released weights give the same audio; pinned by test_phase_is_a_sine.
        return self.inverse_stft(log_magnitude.exp(), phase.sin(), n_columns)

    def remove_weight_norm(self) -> None:
        """Fold the weight norms into plain weights: the same output, no longer for training."""
        fold_weight_norm(self)

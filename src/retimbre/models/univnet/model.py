"""UnivNet: spec and noise -> waveform (https://arxiv.org/abs/2106.07889), with the tensor names of TorToiSe.

Channels are last on the way, so that the columns of one frame and their channels lie beside one another.

Axes used in this file:
    batch    utterances
    mels     bands of the spectrogram
    frames   of the spectrogram
    noise    channels of the noise
    dim      channels inside
    times    frames or columns
    columns  on the way from frames to samples: every stage makes more of them
    layers   location-variable layers of one stage
    taps     places of a location-variable kernel, times dim
    samples  of the waveform
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from retimbre.errors import DataError
from retimbre.models.univnet.config import UnivNetConfig
from retimbre.nn.conv import ConvOverTime
from retimbre.nn.masks import mask_from_lengths
from retimbre.nn.weight_norm import fold_weight_norm, weight_norm

PREDICTOR_DIM = 64
N_PREDICTOR_BLOCKS = 3
TAPS = 3  # of every kernel that is applied, predicted or not
EDGE = 3  # places that the outer convolutions, of seven taps, look to either side
END_FRAMES = 10  # of silence behind a spec: the end of what a vocoder of this kind reads sounds wrong
SILENCE = -11.5129

Hidden = Float[Tensor, "batch times dim"]
IsReal = Bool[Tensor, "batch times"] | None
Lengths = Int[Tensor, "batch"] | None
Spec = Float[Tensor, "batch mels frames"]
Wave = Float[Tensor, "batch 1 samples"]


def only_real(x: Hidden, is_real: IsReal) -> Hidden:
    """`x` with padding set to zero: a bias makes it non-zero, and the next kernel would read it."""
    return x if is_real is None else x.masked_fill(~is_real.unsqueeze(-1), 0.0)


def real(n_frames: Lengths, longest: int, columns_per_frame: int = 1) -> IsReal:
    """Which columns are real; None: all."""
    if n_frames is None:
        return None
    return mask_from_lengths(n_frames * columns_per_frame, longest * columns_per_frame)


def reflected(x: Hidden, n_real: Lengths) -> Float[Tensor, "batch times+6 dim"]:
    """`x` continued by its mirror image at either end; with `n_real`, at the end of what is real."""
    before = x[:, 1 : EDGE + 1].flip(1)
    if n_real is None:
        return torch.cat([before, x, x[:, -EDGE - 1 : -1].flip(1)], dim=1)
    places = torch.arange(x.shape[1] + EDGE, device=x.device)
    last = n_real.unsqueeze(-1) - 1
    sources = torch.where(places <= last, places, 2 * last - places).clamp(min=0)
    return torch.cat([before, x.gather(1, sources.unsqueeze(-1).expand(-1, -1, x.shape[2]))], dim=1)


def neighbourhoods(x: Float[Tensor, "batch columns dim"]) -> Float[Tensor, "batch columns taps"]:
    """Each column with the one before and the one after it; beyond the ends there are zeros."""
    padded = functional.pad(x, (0, 0, 1, 1))
    return torch.cat([padded[:, tap : tap + x.shape[1]] for tap in range(TAPS)], dim=-1)


def convolve_by_frame(
    taps: Float[Tensor, "batch columns taps"],
    kernels: Float[Tensor, "batch frames taps dim"],
    biases: Float[Tensor, "batch frames dim"],
) -> Float[Tensor, "batch columns dim"]:
    """A convolution whose kernel is another one for the columns of every frame: a product for each frame."""
    by_frame = taps.reshape(biases.shape[0] * biases.shape[1], -1, taps.shape[2])
    out = torch.baddbmm(biases.flatten(0, 1).unsqueeze(1), by_frame, kernels.flatten(0, 1))
    return out.view(*taps.shape[:2], -1)


@dataclass(frozen=True, kw_only=True)
class Kernels:
    """What one stage convolves with. Of every two kernels the first opens a gate, the second gives values."""

    weights: Float[Tensor, "batch frames layers 2 taps dim"]
    biases: Float[Tensor, "batch frames layers 2 dim"]


class PredictorBlock(nn.Sequential):
    """Two convolutions with a way around them; the released numbering begins with a dropout of nothing."""

    def __init__(self, kernel: int, slope: float) -> None:
        convs = [weight_norm(ConvOverTime(PREDICTOR_DIM, PREDICTOR_DIM, kernel)) for _ in range(2)]
        super().__init__(nn.Identity(), convs[0], nn.LeakyReLU(slope), convs[1], nn.LeakyReLU(slope))

    def forward(self, x: Hidden, is_real: IsReal) -> Hidden:  # type: ignore[override]
        _, first, activation, second, _ = self
        inner = only_real(activation(first(x)), is_real)
        return only_real(x + activation(second(inner)), is_real)


class KernelPredictor(nn.Module):
    """Reads kernels off a spectrogram: for every frame and layer two of their own."""

    def __init__(self, config: UnivNetConfig) -> None:
        super().__init__()
        kernel, self.n_layers, self.dim = config.predictor_kernel, len(config.dilations), config.dim
        n_biases = self.n_layers * 2 * config.dim
        first = weight_norm(ConvOverTime(config.n_mels, PREDICTOR_DIM, 5))
        self.input_conv = nn.Sequential(first, nn.LeakyReLU(config.slope))
        self.residual_convs = nn.ModuleList(
            PredictorBlock(kernel, config.slope) for _ in range(N_PREDICTOR_BLOCKS)
        )
        self.kernel_conv = weight_norm(ConvOverTime(PREDICTOR_DIM, config.dim * TAPS * n_biases, kernel))
        self.bias_conv = weight_norm(ConvOverTime(PREDICTOR_DIM, n_biases, kernel))

    def forward(self, spec: Float[Tensor, "batch frames mels"], is_real: IsReal) -> Kernels:
        x = only_real(self.input_conv(spec), is_real)
        for block in self.residual_convs:
            x = block(x, is_real)
        batch, n_frames, _ = x.shape
        weights = self._weights(x).view(batch, n_frames, self.n_layers, 2, TAPS * self.dim, self.dim)
        biases = self.bias_conv(x).view(batch, n_frames, self.n_layers, 2, self.dim)
        return Kernels(weights=weights, biases=biases)

    def _weights(self, x: Hidden) -> Float[Tensor, "batch times weights"]:
        """As `kernel_conv` itself, but in the order of use, into which sorting its output would take long."""
        kernel = self.kernel_conv.kernel_size[0]
        weight, bias = map(self._in_order, (self.kernel_conv.weight, self.kernel_conv.bias))
        padded = functional.pad(x, (0, 0, kernel // 2, kernel // 2))
        return functional.linear(padded.unfold(1, kernel, 1).flatten(2), weight.flatten(1), bias)

    def _in_order(self, rows: Float[Tensor, "rows *rest"]) -> Float[Tensor, "rows *rest"]:
        """From layer, in, gate or value, out, tap to layer, gate or value, tap, in, out."""
        parts = rows.view(self.n_layers, self.dim, 2, self.dim, TAPS, -1).permute(0, 2, 4, 1, 3, 5)
        return parts.reshape(rows.shape)


class Upsampling(nn.ConvTranspose1d):
    """Makes `stride` columns of each, with channels last."""

    def __init__(self, dim: int, stride: int) -> None:
        odd = stride % 2
        super().__init__(dim, dim, 2 * stride, stride, padding=stride // 2 + odd, output_padding=odd)

    def forward(  # type: ignore[override]
        self, x: Float[Tensor, "batch times dim"]
    ) -> Float[Tensor, "batch columns dim"]:
        return super().forward(x.transpose(1, 2)).transpose(1, 2).contiguous()


class Stage(nn.Module):
    """More columns, then convolutions with the kernels that the spectrogram asks for."""

    def __init__(self, config: UnivNetConfig, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.kernel_predictor = KernelPredictor(config)
        upsampling = weight_norm(Upsampling(config.dim, stride))
        self.convt_pre = nn.Sequential(nn.LeakyReLU(config.slope), upsampling)
        self.conv_blocks = nn.ModuleList(
            nn.Sequential(
                nn.LeakyReLU(config.slope),
                weight_norm(ConvOverTime(config.dim, config.dim, TAPS, dilation=dilation)),
                nn.LeakyReLU(config.slope),
            )
            for dilation in config.dilations
        )

    def forward(
        self,
        x: Float[Tensor, "batch times dim"],
        spec: Float[Tensor, "batch frames mels"],
        n_frames: Lengths,
    ) -> Float[Tensor, "batch columns dim"]:
        kernels = self.kernel_predictor(spec, real(n_frames, spec.shape[1]))
        columns_per_frame = x.shape[1] * self.stride // spec.shape[1]
        is_real = real(n_frames, spec.shape[1], columns_per_frame)
        x = only_real(self.convt_pre(x), is_real)
        for layer, conv in enumerate(self.conv_blocks):
            taps = neighbourhoods(only_real(conv(x), is_real))
            gate, value = (
                convolve_by_frame(taps, kernels.weights[:, :, layer, half], kernels.biases[:, :, layer, half])
                for half in (0, 1)
            )
            x = only_real(torch.addcmul(x, gate.sigmoid_(), value.tanh_()), is_real)
        return x


class UnivNet(nn.Module):
    """The vocoder. Every frame of a spec becomes `config.hop_samples` samples."""

    def __init__(self, config: UnivNetConfig) -> None:
        super().__init__()
        self.config = config
        self.res_stack = nn.ModuleList(Stage(config, stride) for stride in config.strides)
        self.conv_pre = weight_norm(nn.Conv1d(config.noise_dim, config.dim, 2 * EDGE + 1))
        last = weight_norm(nn.Conv1d(config.dim, 1, 2 * EDGE + 1))
        self.conv_post = nn.Sequential(nn.LeakyReLU(config.slope), last)

    def forward(
        self, spec: Spec, noise: Float[Tensor, "batch noise frames"], n_frames: Lengths = None
    ) -> Wave:
        """The waveform in float32; with `n_frames`, what each utterance alone would give, then silence.

        Args:
            spec: At least four frames.
            noise: Normally distributed, see `noise_for`.
            n_frames: How many of the frames are real.
        """
        _require_frames(spec.shape[2] if n_frames is None else int(n_frames.min()))
        hop = self.config.hop_samples
        is_real = real(n_frames, spec.shape[2])
        frames = only_real(spec.transpose(1, 2), is_real)
        x = only_real(_mirrored(self.conv_pre, noise.transpose(1, 2), n_frames), is_real)
        for stage in self.res_stack:
            x = stage(x, frames, n_frames)
        with torch.autocast(spec.device.type, enabled=False):  # 8 bits of a bfloat16 are too few for a sample
            activation, last = self.conv_post
            x = activation(x.to(next(last.parameters()).dtype))
            wave = _mirrored(last, x, None if n_frames is None else n_frames * hop).float().tanh()
        return only_real(wave, real(n_frames, spec.shape[2], hop)).transpose(1, 2)

    def speak(
        self, spec: Spec, noise: Float[Tensor, "batch noise frames+10"], n_frames: Lengths = None
    ) -> Wave:
        """As `forward`, with ten frames of silence behind each spec, whose sound is cut off again."""
        padded = functional.pad(spec, (0, END_FRAMES), value=SILENCE)
        if n_frames is None:
            return self(padded, noise)[..., : -END_FRAMES * self.config.hop_samples]
        is_real = mask_from_lengths(n_frames, padded.shape[2]).unsqueeze(1)
        wave = self(padded.where(is_real, SILENCE), noise, n_frames + END_FRAMES)
        is_sound = real(n_frames, spec.shape[2], self.config.hop_samples)
        return only_real(
            wave[..., : -END_FRAMES * self.config.hop_samples].transpose(1, 2), is_sound
        ).transpose(1, 2)

    def noise_for(
        self, spec: Spec, generator: torch.Generator | None = None
    ) -> Float[Tensor, "batch noise frames+10"]:
        """What `speak` makes into sound: other noise, slightly other sound."""
        shape = (spec.shape[0], self.config.noise_dim, spec.shape[2] + END_FRAMES)
        return torch.randn(shape, generator=generator, device=spec.device, dtype=spec.dtype)

    def remove_weight_norm(self) -> None:
        """Fold the weight norms into plain weights: the same output, no longer for training."""
        fold_weight_norm(self)


def _mirrored(conv: nn.Module, x: Hidden, n_real: Lengths) -> Float[Tensor, "batch times dim_out"]:
    return conv(reflected(x, n_real).transpose(1, 2)).transpose(1, 2)


def _require_frames(n_frames: int) -> None:
    if n_frames <= EDGE:
        raise DataError(
            "a spec is too short for this vocoder",
            expected=f"at least {EDGE + 1} frames",
            found=str(n_frames),
            do="put silence behind it, as 'speak' does",
        )

"""Predictors of duration, pitch and energy, and how symbols become frames.

Axes used in this file:
    batch    utterances
    symbols  symbols of the longest utterance, padded
    frames   frames of the longest utterance, padded
    times    symbols or frames, depending on the level of pitch and energy
    dim      channels of the encoder
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from retimbre.models.fastspeech2.alignment import ConvAttention
from retimbre.models.fastspeech2.config import FastSpeech2Config, Level, PredictorSizes
from retimbre.models.fastspeech2.timing import Timing
from retimbre.nn.conv import ConvOverTime
from retimbre.nn.dropout import Dropout

MOST_FRAMES = 1000  # of one symbol: a predictor gone wild must not fill the memory


@dataclass(frozen=True, kw_only=True)
class Controls:
    """Factors on what is predicted: 1.5 is half as long again, or half as far again from the mean pitch."""

    duration: float = 1.0
    pitch: float = 1.0
    energy: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Truth:
    """Normalised pitch and energy of real recordings, at the level at which the network uses them."""

    pitch: Float[Tensor, "batch pitch_times"]
    energy: Float[Tensor, "batch energy_times"]


@dataclass(frozen=True, kw_only=True)
class Prosody:
    """What was predicted. In free running the controls are in it, except in the durations' logarithm."""

    log_durations: Float[Tensor, "batch symbols"]  # log(frames + 1)
    pitch: Float[Tensor, "batch pitch_times"]
    energy: Float[Tensor, "batch energy_times"]
    is_pitch: Bool[Tensor, "batch pitch_times"]  # False for padding
    is_energy: Bool[Tensor, "batch energy_times"]
    timing: Timing


class Transposed(nn.Module):
    """Holds a convolution under the name that it has in checkpoints."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Float[Tensor, "batch times dim_in"]) -> Float[Tensor, "batch times dim_out"]:
        return self.module(x)


class DepthwiseSeparable(nn.Module):
    """Convolution of each channel over time, then a mixture of the channels."""

    def __init__(self, dim_in: int, dim_out: int, kernel: int) -> None:
        super().__init__()
        self.model = nn.Sequential(
            ConvOverTime(dim_in, dim_in, kernel, groups=dim_in), ConvOverTime(dim_in, dim_out)
        )

    def forward(self, x: Float[Tensor, "batch times dim_in"]) -> Float[Tensor, "batch times dim_out"]:
        return self.model(x)


class PredictorLayer(nn.Module):
    """Convolution over time, then ReLU, layer norm and dropout."""

    def __init__(self, dim_in: int, sizes: PredictorSizes) -> None:
        super().__init__()
        conv: nn.Module
        if sizes.is_depthwise:
            conv = DepthwiseSeparable(dim_in, sizes.dim, sizes.kernel)
        else:
            conv = ConvOverTime(dim_in, sizes.dim, sizes.kernel)
        self.layers = nn.Sequential(
            Transposed(conv), nn.ReLU(), nn.LayerNorm(sizes.dim), Dropout(sizes.dropout)
        )

    def forward(self, x: Float[Tensor, "batch times dim_in"]) -> Float[Tensor, "batch times dim_out"]:
        return self.layers(x)


class VariancePredictor(nn.Module):
    """One number for each symbol or frame: the logarithm of a duration, a pitch or an energy."""

    def __init__(self, dim: int, sizes: PredictorSizes) -> None:
        super().__init__()
        dims = [dim] + [sizes.dim] * (sizes.n_layers - 1)
        self.conv = nn.ModuleList(PredictorLayer(dim_in, sizes) for dim_in in dims)
        self.linear = nn.Linear(sizes.dim, 1)

    def forward(
        self, x: Float[Tensor, "batch times dim"], is_real: Bool[Tensor, "batch times"]
    ) -> Float[Tensor, "batch times"]:
        keep = is_real.unsqueeze(-1)
        for layer in self.conv:
            # Norm and bias make padding non-zero, and the next kernel would read it.
            x = layer(x * keep)
        return self.linear(x).squeeze(-1).float().masked_fill(~is_real, 0.0)


class VarianceAdaptor(nn.Module):
    """Adds energy, then pitch, to what the symbols hold, and makes frames of symbols."""

    pitch_bins: Float[Tensor, "pitch_edges"]
    energy_bins: Float[Tensor, "energy_edges"]

    def __init__(self, config: FastSpeech2Config) -> None:
        super().__init__()
        self.pitch_level, self.energy_level = config.pitch_level, config.energy_level
        self.duration_predictor = VariancePredictor(config.dim, config.duration)
        self.pitch_predictor = VariancePredictor(config.dim, config.pitch)
        self.energy_predictor = VariancePredictor(config.dim, config.energy)
        self.register_buffer("pitch_bins", torch.linspace(*config.pitch_range, config.n_pitch_bins - 1))
        self.register_buffer("energy_bins", torch.linspace(*config.energy_range, config.n_energy_bins - 1))
        self.pitch_embedding = nn.Embedding(config.n_pitch_bins, config.dim)
        self.energy_embedding = nn.Embedding(config.n_energy_bins, config.dim)
        if config.learns_alignment:
            self.attention = ConvAttention(
                dim=config.dim, n_mels=config.n_mels, attention_dim=config.attention_dim
            )

    def forward(
        self,
        x: Float[Tensor, "batch symbols dim"],
        is_symbol: Bool[Tensor, "batch symbols"],
        *,
        timing: Timing | None,
        truth: Truth | None,
        controls: Controls,
    ) -> tuple[Float[Tensor, "batch frames dim"], Prosody]:
        """Frames, and what was predicted for them.

        Args:
            timing: The true durations, or None to use the predicted ones.
            truth: The true pitch and energy, which are then what is added, or None to add the predicted ones.
        """

        def add_energy(x: Tensor, is_real: Tensor) -> tuple[Tensor, Tensor]:
            predicted = self.energy_predictor(x, is_real) * controls.energy
            bins = torch.bucketize(truth.energy if truth else predicted, self.energy_bins)
            return x + self.energy_embedding(bins), predicted

        def add_pitch(x: Tensor, is_real: Tensor) -> tuple[Tensor, Tensor]:
            predicted = self.pitch_predictor(x, is_real) * controls.pitch
            bins = torch.bucketize(truth.pitch if truth else predicted, self.pitch_bins)
            return x + self.pitch_embedding(bins), predicted

        if self.energy_level is Level.PHONE:
            x, energy = add_energy(x, is_symbol)
        if self.pitch_level is Level.PHONE:
            x, pitch = add_pitch(x, is_symbol)
        log_durations = self.duration_predictor(x, is_symbol)
        if timing is None:
            timing = Timing.from_durations(to_frames(log_durations, is_symbol, controls.duration))
        x = timing.stretch(x)
        if self.energy_level is Level.FRAME:
            x, energy = add_energy(x, timing.is_frame)
        if self.pitch_level is Level.FRAME:
            x, pitch = add_pitch(x, timing.is_frame)
        return x, Prosody(
            log_durations=log_durations,
            pitch=pitch,
            energy=energy,
            is_pitch=is_symbol if self.pitch_level is Level.PHONE else timing.is_frame,
            is_energy=is_symbol if self.energy_level is Level.PHONE else timing.is_frame,
            timing=timing,
        )


def to_frames(
    log_durations: Float[Tensor, "batch symbols"], is_symbol: Bool[Tensor, "batch symbols"], control: float
) -> Int[Tensor, "batch symbols"]:
    """Durations in whole frames, of a predicted logarithm and the factor on it."""
    # Checkpoint quirk: EveryVoice rounds before the control is applied and cuts off after it; pinned by
    # test_durations_are_rounded_before_they_are_stretched.
    frames = (torch.round(log_durations.exp() - 1) * control).clamp(0, MOST_FRAMES).long() * is_symbol
    # A spec has at least one frame, whatever an untrained predictor says.
    is_empty = frames.sum(1) == 0
    frames[:, 0] += is_empty
    return frames

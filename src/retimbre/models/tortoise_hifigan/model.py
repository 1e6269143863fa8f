"""TorToiSe's HiFi-GAN decoder: latents -> waveform (https://arxiv.org/abs/2010.05646), with its names.

A hifigan that reads latents instead of a spectrogram, and is told once, at its beginning, whose voice it is.

Axes used in this file:
    batch    utterances
    codes    one latent each
    latent   channels of a latent
    voice    channels of the voice
    dim      channels inside
    time     columns on the way from latents to samples
    samples  of the waveform, at 24,000 Hz
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from retimbre.models.hifigan.model import (
    Hidden,
    Lengths,
    Wave,
    last_activation,
    only_real,
    real_columns,
    residual_blocks,
    stage_dims,
    through_stages,
    upsampling_layers,
)
from retimbre.models.tortoise_hifigan.config import (
    CODE_RATE_HZ,
    CODE_SAMPLES,
    SAMPLE_RATE_HZ,
    LatentDecoderConfig,
)
from retimbre.nn.weight_norm import fold_weight_norm, weight_norm

COLUMN_SAMPLES = (
    256  # one column for so many samples, first at the rate of the codes, then at that of the sound
)
STRETCHES = (CODE_SAMPLES / COLUMN_SAMPLES, SAMPLE_RATE_HZ / CODE_RATE_HZ)

Latents = Float[Tensor, "batch codes latent"]


def stretched(latents: Latents, n_codes: Lengths = None) -> Float[Tensor, "batch latent columns"]:
    """One column for every 256 samples of the sound, interpolated in two steps.

    With `n_codes`, the last real latent goes on to the end, so that no column lies between it and padding.
    """
    if n_codes is not None:
        places = torch.arange(latents.shape[1], device=latents.device)
        sources = places.minimum(n_codes.unsqueeze(-1) - 1).unsqueeze(-1)
        latents = latents.gather(1, sources.expand(latents.shape))
    columns = latents.transpose(1, 2)
    for times in STRETCHES:
        columns = functional.interpolate(columns, scale_factor=times, mode="linear")
    return columns


def n_columns(n_codes: Int[Tensor, "batch"]) -> Int[Tensor, "batch"]:
    """How many columns `stretched` makes of so many latents."""
    lengths = n_codes
    for times in STRETCHES:
        lengths = (lengths.double() * times).long()
    return lengths


class LatentDecoder(nn.Module):
    """The vocoder of latents. Each column of `stretched` becomes `config.hop_samples` samples."""

    def __init__(self, config: LatentDecoderConfig) -> None:
        super().__init__()
        self.config = config
        dims = stage_dims(config.stages)
        self.conv_pre = weight_norm(nn.Conv1d(config.latent_dim, dims[0], 7, padding=3))
        self.ups = upsampling_layers(config.stages)
        self.resblocks = residual_blocks(config.stages)
        self.conv_post = weight_norm(nn.Conv1d(dims[-1], 1, 7, padding=3))
        self.cond_layer = nn.Conv1d(config.conditioning_dim, dims[0], 1)

    def forward(self, latents: Latents, voice: Float[Tensor, "batch voice"], n_codes: Lengths = None) -> Wave:
        """The waveform in float32; with `n_codes`, what each utterance alone would give, then silence."""
        columns = stretched(latents, n_codes)
        lengths = None if n_codes is None else n_columns(n_codes)
        return self._sound(columns, voice, lengths)

    def remove_weight_norm(self) -> None:
        """Fold the weight norms into plain weights: the same output, no longer for training."""
        fold_weight_norm(self)

    def _sound(self, columns: Hidden, voice: Float[Tensor, "batch voice"], lengths: Lengths) -> Wave:
        masks = real_columns(lengths, columns.shape[-1], self.config.upsample_rates)
        is_real = next(masks)
        x = self.conv_pre(only_real(columns, is_real)) + self.cond_layer(voice.unsqueeze(-1))
        x, is_real = through_stages(only_real(x, is_real), self.ups, self.resblocks, masks)
        with torch.autocast(
            columns.device.type, enabled=False
        ):  # 8 bits of a bfloat16 are too few for a sample
            x = last_activation(x.to(self.conv_post.bias.dtype))
            return only_real(self.conv_post(x).float().tanh(), is_real)

"""Inverse short-time Fourier transform that counts only real columns, so that padding changes nothing.

Axes used in this file:
    batch    utterances
    bins     frequencies, half the length of a column plus one
    columns  spectra of the short transform (many per frame of the mel spectrogram)
    samples  of the waveform
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from retimbre.nn.masks import mask_from_lengths


class InverseSTFT(nn.Module):
    """Magnitude and phase -> waveform, as `torch.istft` with a Hann window and centred columns."""

    synthesis: Tensor
    envelope: Tensor

    def __init__(self, n_fft_samples: int, hop_samples: int) -> None:
        super().__init__()
        self.n_fft_samples, self.hop_samples = n_fft_samples, hop_samples
        window = torch.hann_window(n_fft_samples, dtype=torch.float64)
        # The way back of one column is linear, and so is adding up the columns: one transposed convolution.
        synthesis = torch.cat(_cosines_and_sines(n_fft_samples)) * window
        self.register_buffer("synthesis", synthesis.float().unsqueeze(1), persistent=False)
        self.register_buffer("envelope", window.square().float().view(1, 1, -1), persistent=False)

    def forward(
        self,
        magnitude: Float[Tensor, "batch bins columns"],
        phase: Float[Tensor, "batch bins columns"],
        n_columns: Int[Tensor, "batch"] | None = None,
    ) -> Float[Tensor, "batch 1 samples"]:
        """The waveform in float32, silent where a column is padding; None means that every column is real."""
        with torch.autocast(magnitude.device.type, enabled=False):
            magnitude, phase = magnitude.float(), phase.float()
            is_real = magnitude.new_ones(1, 1, magnitude.shape[-1])
            if n_columns is not None:
                is_real = mask_from_lengths(n_columns, magnitude.shape[-1]).unsqueeze(1).float()
            spectrum = torch.cat([magnitude * phase.cos(), magnitude * phase.sin()], dim=1)
            if n_columns is not None:
                spectrum = spectrum.masked_fill(is_real == 0, 0.0)
            wave = self._add_up(spectrum, self.synthesis)
            weight = self._add_up(is_real, self.envelope)
            # Past the last real column there is no window and no sound: 0 / tiny is 0.
            wave = wave / weight.clamp(min=torch.finfo(torch.float32).tiny)
            return wave if n_columns is None else wave * self._is_sound(n_columns, wave.shape[-1])

    def _add_up(
        self, columns: Float[Tensor, "batch channels columns"], basis: Float[Tensor, "channels 1 n_fft"]
    ) -> Float[Tensor, "batch 1 samples"]:
        half = self.n_fft_samples // 2
        added = functional.conv_transpose1d(columns, basis.float(), stride=self.hop_samples)
        n_samples = (columns.shape[-1] - 1) * self.hop_samples
        return added[..., half : half + n_samples]  # the first and the last column are centred on the ends

    def _is_sound(self, n_columns: Int[Tensor, "batch"], n_samples: int) -> Float[Tensor, "batch 1 samples"]:
        real_samples = (n_columns - 1) * self.hop_samples
        return mask_from_lengths(real_samples, n_samples).unsqueeze(1).float()


def _cosines_and_sines(n_fft: int) -> tuple[Float[Tensor, "bins n_fft"], Float[Tensor, "bins n_fft"]]:
    """What the real and the imaginary part of each frequency add to a column."""
    bins = torch.arange(n_fft // 2 + 1, dtype=torch.float64).unsqueeze(1)
    angle = 2 * math.pi * bins * torch.arange(n_fft, dtype=torch.float64) / n_fft
    # Between the lowest and the highest every frequency stands for two: itself and its mirror image.
    share = torch.full_like(bins, 2.0 / n_fft)
    share[0] = share[-1] = 1.0 / n_fft
    sines = -share * angle.sin()
    sines[0] = sines[-1] = 0.0  # a real signal has no imaginary part there, whatever is given
    return share * angle.cos(), sines

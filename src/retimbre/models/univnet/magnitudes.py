"""Magnitudes of a waveform through several windows: what UnivNet's loss and its discriminators look at.

Axes used in this file:
    batch    waveforms
    samples  of the waveform
    bins     of the Fourier transform, n_fft_samples // 2 + 1
    frames   moments, one per hop
"""

from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor

from retimbre.nn.judges import Wave

POWER_FLOOR = 1e-7  # below it the logarithm, and the gradient of the root, would have no end


@dataclass(frozen=True, kw_only=True)
class Resolution:
    """How fine a spectrum is in frequency and in time."""

    n_fft_samples: int
    hop_samples: int
    window_samples: int

    @property
    def fewest_samples(self) -> int:
        """The shortest waveform whose ends can be continued by their mirror image."""
        return self.n_fft_samples // 2 + 1


# Parallel WaveGAN's three (https://arxiv.org/abs/1910.11480), at any sample rate.
RESOLUTIONS = (
    Resolution(n_fft_samples=1024, hop_samples=120, window_samples=600),
    Resolution(n_fft_samples=2048, hop_samples=240, window_samples=1200),
    Resolution(n_fft_samples=512, hop_samples=50, window_samples=240),
)
FEWEST_SAMPLES = max(resolution.fewest_samples for resolution in RESOLUTIONS)


def magnitudes(wave: Wave, resolution: Resolution) -> Float[Tensor, "batch bins frames"]:
    """Through Hann windows, centred, the ends mirrored; in float32 also under autocast."""
    with torch.autocast(wave.device.type, enabled=False):
        spectrum = torch.stft(
            wave.squeeze(1).float(),
            resolution.n_fft_samples,
            resolution.hop_samples,
            resolution.window_samples,
            window=_hann(resolution.window_samples, wave.device),
            center=True,
            pad_mode="reflect",
            return_complex=True,
        )
        return torch.view_as_real(spectrum).square().sum(-1).clamp(min=POWER_FLOOR).sqrt()


@lru_cache(maxsize=32)
def _hann(n_samples: int, device: torch.device) -> Float[Tensor, "window"]:
    with torch.inference_mode(False):  # or a training step could not use what a synthesis has cached
        return torch.hann_window(n_samples, device=device, dtype=torch.float32)

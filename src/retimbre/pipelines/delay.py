"""How many samples a vocoder's output lies behind the recording: it may have learnt up to one hop.

A mel loss whose target is one frame out of step teaches a vocoder to speak late. Nobody hears eleven
milliseconds, but a vocoder that is tuned with an aligned loss must first unlearn them, and a sample-by-sample
comparison would blame it for them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from retimbre.audio.waveform import Audio

RESOLUTION_SAMPLES = 4  # of the envelopes that are compared
WINDOW_SAMPLES = 64
N_BANDS = 8
SURE_CORRELATION = 0.5  # of the envelopes; a vocoder that has learnt to speak reaches 0.7 and more


@dataclass(frozen=True, kw_only=True)
class Delay:
    """A delay in samples (positive: the output is late) and how sure it is (1: the envelopes are equal)."""

    n_samples: int
    correlation: float

    def is_clear(self, hop_samples: int) -> bool:
        """Is it large enough to matter, and the measurement sure enough to act on it?"""
        return abs(self.n_samples) > hop_samples // 4 and self.correlation >= SURE_CORRELATION


def measure_delay(
    recorded: Sequence[Float[Tensor, "_"]],
    generated: Sequence[Float[Tensor, "_"]],
    *,
    largest_samples: int,
) -> Delay:
    """The shift at which the band envelopes of both correlate best, over all utterances together.

    Envelopes, because a vocoder is free in the phase of its output; 4 samples is their resolution.
    """
    reach = -(-largest_samples // RESOLUTION_SAMPLES)
    total = np.zeros(2 * reach + 1)
    for one, other in zip(recorded, generated, strict=True):
        n_samples = min(len(one), len(other))
        total += _correlations(_envelopes(one[:n_samples]), _envelopes(other[:n_samples]), reach)
    total /= len(recorded)
    best = int(total.argmax())
    return Delay(n_samples=(best - reach) * RESOLUTION_SAMPLES, correlation=float(total[best]))


def _envelopes(samples: Float[Tensor, "samples"]) -> np.ndarray:
    """Log energy in equally wide bands, [bands moments], each band with mean 0 and norm 1 over all."""
    spectrum = torch.stft(
        samples.double(),
        WINDOW_SAMPLES,
        RESOLUTION_SAMPLES,
        window=torch.hann_window(WINDOW_SAMPLES, dtype=torch.float64),
        center=True,
        pad_mode="constant",
        return_complex=True,
    )
    energy = spectrum.abs().square()[: 4 * N_BANDS].reshape(N_BANDS, 4, -1).sum(1)
    logs = np.asarray((energy + 1e-4 * energy.max() + 1e-12).log())
    return np.asarray(logs - logs.mean(axis=1, keepdims=True))


def _correlations(one: np.ndarray, other: np.ndarray, reach: int) -> np.ndarray:
    """Normalised correlation for every shift of `other` from -reach to reach."""
    n = one.shape[1]
    if n <= 2 * reach + 1:
        return np.zeros(2 * reach + 1)
    middle = one[:, reach : n - reach]
    values = []
    for shift in range(-reach, reach + 1):
        moved = other[:, reach + shift : n - reach + shift]
        values.append((middle * moved).sum() / (np.linalg.norm(middle) * np.linalg.norm(moved) + 1e-12))
    return np.asarray(values)


def advanced(audio: Audio, n_samples: int) -> Audio:
    """The same sound `n_samples` earlier (later if negative), equally long, with silence where nothing is."""
    if n_samples == 0:
        return audio
    moved = torch.zeros_like(audio.samples)
    if n_samples > 0:
        moved[:-n_samples] = audio.samples[n_samples:]
    else:
        moved[-n_samples:] = audio.samples[:n_samples]
    return Audio(samples=moved, sample_rate_hz=audio.sample_rate_hz)

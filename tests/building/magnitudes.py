"""Magnitudes of a waveform in float64, by another way than the library's."""

import numpy as np

from retimbre.models.univnet.magnitudes import POWER_FLOOR, Resolution


def magnitudes_by_hand(samples: np.ndarray, resolution: Resolution) -> np.ndarray:
    """Each frame cut out, windowed and transformed by itself."""
    n_fft, hop, window = resolution.n_fft_samples, resolution.hop_samples, resolution.window_samples
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    around = np.zeros(n_fft)
    around[(n_fft - window) // 2 : (n_fft - window) // 2 + window] = hann
    padded = np.pad(samples, n_fft // 2, mode="reflect")
    frames = [padded[at : at + n_fft] * around for at in range(0, len(samples) + 1, hop)]
    power = np.abs(np.fft.rfft(np.stack(frames), axis=1)) ** 2
    return np.asarray(np.sqrt(power.clip(min=POWER_FLOOR)).T)

"""Utterances of four sounds, one for each code: tiny TorToiSe networks can learn them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from retimbre.audio.waveform import Audio
from retimbre.data.store import Store
from retimbre.data.utterance import Utterance
from retimbre.models.tortoise_ar.config import UnifiedVoiceConfig
from retimbre.models.tortoise_ar.model import UnifiedVoice
from retimbre.models.tortoise_diffusion.config import DiffusionConfig
from retimbre.models.tortoise_diffusion.model import DiffusionDecoder

RATE_HZ = 22050
SAMPLES_PER_CODE = 1024
MIDDLE_HZ = 2000
N_SOUNDS = 4
AR = UnifiedVoiceConfig(
    n_layers=2,
    dim=16,
    n_heads=2,
    n_conditioning_layers=1,
    n_symbols=20,
    n_codes=N_SOUNDS + 2,
    n_symbol_positions=30,
    n_code_positions=60,
    start_symbol=19,
    stop_symbol=0,
    start_code=N_SOUNDS,
    stop_code=N_SOUNDS + 1,
    dropout=0.2,
)
DIFFUSION = DiffusionConfig(n_mels=12, dim=32, n_layers=1, n_heads=2, latent_dim=16, n_codes=N_SOUNDS + 1)


@dataclass(frozen=True, kw_only=True, eq=False)
class Murmured:
    """An utterance as TorToiSe's stages read it."""

    utterance: Utterance
    symbols: Tensor
    codes: Tensor
    n_samples: int


class NoisyVoices:
    """Voices that are heard from nothing but a little noise."""

    def for_auto(self, encoded: Murmured, random: np.random.Generator) -> Tensor:
        """Two recordings."""
        return torch.from_numpy(0.1 * random.standard_normal((2, 80, 9))).float()

    def for_diffusion(self, encoded: Murmured, random: np.random.Generator) -> Tensor:
        """The same number."""
        return torch.from_numpy(0.1 * random.standard_normal((2, DIFFUSION.n_mels, 13))).float()


def murmur(codes: Sequence[int], n_samples: int) -> Tensor:
    """Noise whose lower and upper halves are loud or quiet, as each code's two bits say."""
    spectrum = np.fft.rfft(np.random.default_rng(n_samples).standard_normal(n_samples))
    is_low = np.fft.rfftfreq(n_samples, 1 / RATE_HZ) < MIDDLE_HZ
    halves = [np.fft.irfft(spectrum * mask, n_samples) for mask in (is_low, ~is_low)]
    gains = [
        np.repeat([0.1 if code >> bit & 1 else 0.001 for code in codes], SAMPLES_PER_CODE) for bit in (0, 1)
    ]
    samples = sum(gain[:n_samples] * half for gain, half in zip(gains, halves, strict=True))
    return torch.from_numpy(samples).float()


def murmured(folder: Path, n: int, *, seed: int = 1, lengths: tuple[int, ...] = (5, 8, 6)) -> list[Murmured]:
    """Utterances of so many codes in turn, prepared in a store; the last code is not full."""
    store, draw, found = Store(folder), np.random.default_rng(seed), []
    for number in range(n):
        codes = draw.integers(N_SOUNDS, size=lengths[number % len(lengths)])
        n_samples = (len(codes) - 1) * SAMPLES_PER_CODE + int(draw.integers(SAMPLES_PER_CODE))
        utterance = Utterance(basename=f"s{seed}-{number}", text="la")
        audio = Audio(samples=murmur(codes.tolist(), n_samples), sample_rate_hz=RATE_HZ)
        store.write_audio(utterance, audio, source="murmured", is_mixed=False)
        symbols = torch.from_numpy(draw.integers(1, 19, size=3 + number % 3))
        found.append(
            Murmured(utterance=utterance, symbols=symbols, codes=torch.from_numpy(codes), n_samples=n_samples)
        )
    return found


def autoregressive(seed: int = 1) -> UnifiedVoice:
    """A network whose latents tell the codes well, text and voice hardly."""
    torch.manual_seed(seed)
    model = UnifiedVoice(AR)
    torch.nn.init.normal_(model.mel_embedding.weight)
    return model.eval()


def decoder(seed: int = 1, *, dim: int = DIFFUSION.dim) -> DiffusionDecoder:
    """A new one."""
    torch.manual_seed(seed)
    return DiffusionDecoder(replace(DIFFUSION, dim=dim)).eval()

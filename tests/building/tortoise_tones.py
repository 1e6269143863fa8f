"""Utterances that are sung in pure tones, one for each code: tiny TorToiSe networks can learn them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
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
N_TONES = 4
AR = UnifiedVoiceConfig(
    n_layers=2,
    dim=16,
    n_heads=2,
    n_conditioning_layers=1,
    n_symbols=20,
    n_codes=N_TONES + 2,
    n_symbol_positions=30,
    n_code_positions=60,
    start_symbol=19,
    stop_symbol=0,
    start_code=N_TONES,
    stop_code=N_TONES + 1,
    dropout=0.2,
)
DIFFUSION = DiffusionConfig(n_mels=12, dim=32, n_layers=1, n_heads=2, latent_dim=16, n_codes=N_TONES + 1)


@dataclass(frozen=True, kw_only=True, eq=False)
class Sung:
    """An utterance as TorToiSe's stages read it."""

    utterance: Utterance
    symbols: Tensor
    codes: Tensor
    n_samples: int


class NoisyVoices:
    """Voices that are heard from nothing but a little noise."""

    def for_auto(self, encoded: Sung, random: np.random.Generator) -> Tensor:
        """Two recordings."""
        return torch.from_numpy(0.1 * random.standard_normal((2, 80, 9))).float()

    def for_diffusion(self, encoded: Sung, random: np.random.Generator) -> Tensor:
        """The same number."""
        return torch.from_numpy(0.1 * random.standard_normal((2, DIFFUSION.n_mels, 13))).float()


def tones(codes: Sequence[int], n_samples: int) -> Tensor:
    """A tone for each code, without a break between them, and a little noise."""
    hz = np.repeat([250.0 * 2 ** (1.2 * code) for code in codes], SAMPLES_PER_CODE)[:n_samples]
    hiss = 0.02 * np.random.default_rng(n_samples).standard_normal(n_samples)
    return torch.from_numpy(0.3 * np.sin(2 * math.pi * np.cumsum(hz) / RATE_HZ) + hiss).float()


def sung(folder: Path, n: int, *, seed: int = 1, lengths: tuple[int, ...] = (5, 8, 6)) -> list[Sung]:
    """Utterances of so many codes in turn, prepared in a store; the last code is not full."""
    store, draw, found = Store(folder), np.random.default_rng(seed), []
    for number in range(n):
        codes = draw.integers(N_TONES, size=lengths[number % len(lengths)])
        n_samples = (len(codes) - 1) * SAMPLES_PER_CODE + int(draw.integers(SAMPLES_PER_CODE))
        utterance = Utterance(basename=f"s{seed}-{number}", text="la")
        audio = Audio(samples=tones(codes.tolist(), n_samples), sample_rate_hz=RATE_HZ)
        store.write_audio(utterance, audio, source="sung", is_mixed=False)
        symbols = torch.from_numpy(draw.integers(1, 19, size=3 + number % 3))
        found.append(
            Sung(utterance=utterance, symbols=symbols, codes=torch.from_numpy(codes), n_samples=n_samples)
        )
    return found


def autoregressive(seed: int = 1) -> UnifiedVoice:
    """A network whose latents tell the codes well, text and voice hardly."""
    torch.manual_seed(seed)
    model = UnifiedVoice(AR)
    torch.nn.init.normal_(model.mel_embedding.weight)
    return model.eval()


def decoder(seed: int = 1) -> DiffusionDecoder:
    """A new one."""
    torch.manual_seed(seed)
    return DiffusionDecoder(DIFFUSION).eval()

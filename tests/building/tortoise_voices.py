"""Networks that hear recordings of a voice or make one up, all tiny; and recordings for them."""

import os
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import Dataset

from building.sounds import record, vowel
from building.tortoise import random_network
from retimbre.models.tortoise_ar.model import UnifiedVoice
from retimbre.models.tortoise_diffusion.config import DiffusionConfig
from retimbre.models.tortoise_diffusion.model import DiffusionDecoder
from retimbre.models.tortoise_random_latent.config import RandomLatentConfig
from retimbre.models.tortoise_random_latent.model import RandomLatent
from retimbre.pipelines.tortoise_voice_making import (
    AUTO,
    DIFFUSION,
    RANDOM_AUTO,
    RANDOM_DIFFUSION,
    VoiceNetworks,
)
from retimbre.pipelines.tortoise_voices import TortoiseVoice

SIZES = DiffusionConfig(dim=8, n_layers=1, n_heads=2, latent_dim=64, n_codes=9)  # 100 bands, as released
DIMS = {RANDOM_AUTO: 64, RANDOM_DIFFUSION: 16}


def network(role: str) -> torch.nn.Module:
    """A random one; the same for the same role."""
    if role == AUTO:
        return random_network(seed=3)
    torch.manual_seed(4)
    if role == DIFFUSION:
        decoder = DiffusionDecoder(SIZES).eval()
        with torch.no_grad():
            for parameter in decoder.parameters():
                parameter.normal_(std=0.3)
        return decoder
    return RandomLatent(RandomLatentConfig(dim=DIMS[role])).eval()


def hearing() -> tuple[UnifiedVoice, DiffusionDecoder]:
    """Both that hear."""
    return network(AUTO), network(DIFFUSION)


class Loading:
    """VoiceNetworks that keep count of what was loaded and hashed."""

    def __init__(self, **hashes: str) -> None:
        self.loaded: list[str] = []
        self.hashed: list[str] = []
        self.hashes = hashes

    def networks(self, *, has_diffusion: bool = True) -> VoiceNetworks:
        """As a set of models gives them."""
        return VoiceNetworks(load=self._load, hash_of=self._hash_of, has_diffusion=has_diffusion)

    def _load(self, role: str) -> torch.nn.Module:
        self.loaded.append(role)
        return network(role)

    def _hash_of(self, role: str) -> str:
        self.hashed.append(role)
        return self.hashes.get(role.replace("-", "_"), f"hash of {role}")


def voice(name: str = "emma", *, seed: int = 1, dim: int = 64, two_dim: int | None = 16) -> TortoiseVoice:
    """Random latents."""
    draw = torch.Generator().manual_seed(seed)
    return TortoiseVoice(
        name=name,
        auto=torch.randn(dim, generator=draw),
        diffusion=None if two_dim is None else torch.randn(two_dim, generator=draw),
        source={"random": {"seed": seed}},
    )


def recordings(folder: Path, *, durations_s: tuple[float, ...] = (0.7, 1.3)) -> list[Path]:
    """Vowels of different pitch, one for each duration."""
    waves = {f"{n}": vowel(s, f0_hz=110 + 40 * n, seed=n) for n, s in enumerate(durations_s)}
    record(folder, waves)
    return [folder / f"{name}.wav" for name in waves]


class Heard(Dataset):
    """The voice that each utterance is spoken in, and the process that heard it."""

    def __init__(self, voices, utterances):
        self.voices, self.utterances = voices, utterances

    def __getitem__(self, key):
        return self.voices.for_auto(self.utterances[key.item], np.random.default_rng(key.item)), os.getpid()

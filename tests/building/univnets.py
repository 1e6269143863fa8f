"""A tiny UnivNet with discriminators and generated voices of 24,000 Hz."""

from typing import Any

import torch
from torch import nn

from building.sounds import vowel
from retimbre.audio.mel import log_mel
from retimbre.models.description import Description, sizes_of
from retimbre.models.hifigan.batch import VocoderItem
from retimbre.models.univnet import UNIVNET
from retimbre.models.univnet.batch import item_of
from retimbre.models.univnet.config import JudgesConfig, UnivNetConfig
from retimbre.models.univnet.discriminators import UnivNetJudges
from retimbre.models.univnet.model import UnivNet
from retimbre.recipe.training import Training
from retimbre.training.freezing import freeze
from retimbre.training.job import Job
from retimbre.training.univnet import univnet_job

CONFIG = UnivNetConfig(n_mels=20, noise_dim=3, dim=4, dilations=(1, 3))
JUDGES = JudgesConfig(width=1 / 32, periods=(2,))
RATE_HZ = 24_000


def spoken_item(n_frames: int, seed: int, config: UnivNetConfig = CONFIG) -> VocoderItem:
    """A generated voice of so many frames with its spec."""
    mel = UNIVNET.mel(config)  # type: ignore[misc]
    duration_s = (n_frames * mel.hop_samples + 7) / RATE_HZ
    wave = vowel(duration_s, f0_hz=110 + 20 * seed, seed=seed, rate_hz=RATE_HZ)
    samples = torch.tensor(wave, dtype=torch.float32)
    return item_of(log_mel(samples, mel), samples, hop_samples=mel.hop_samples)


def spoken_items(lengths: list[int]) -> list[VocoderItem]:
    """One of each length in frames."""
    return [spoken_item(n_frames, seed) for seed, n_frames in enumerate(lengths)]


def tiny_univnet_job(settings: Training, *, lengths: tuple[int, ...] = (27, 20, 13, 34), **facts: Any) -> Job:
    """The same each time."""
    torch.manual_seed(settings.seed)
    generator, judges = UnivNet(CONFIG).train(), UnivNetJudges(JUDGES).train()
    freeze(nn.ModuleDict({"generator": generator, "discriminators": judges}), settings.frozen)
    description = Description(
        family="univnet",
        sizes=sizes_of(CONFIG),
        spectrogram=UNIVNET.mel(CONFIG),  # type: ignore[misc]
        **facts,
    )
    return univnet_job(
        generator,
        judges,
        description,
        settings,
        training=spoken_items(list(lengths)),
        validation={"held": spoken_item(24, 9)},
    )

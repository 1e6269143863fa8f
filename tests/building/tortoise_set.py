"""A complete tiny set of TorToiSe's files with random weights: released names and formats, 9 MB."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from building.tortoise import random_network
from retimbre.models.family import Family
from retimbre.models.tortoise_ar import TORTOISE_AR
from retimbre.models.tortoise_ar.config import UnifiedVoiceConfig
from retimbre.models.tortoise_ar.model import UnifiedVoice
from retimbre.models.tortoise_clvp import TORTOISE_CLVP
from retimbre.models.tortoise_clvp.config import ClvpConfig
from retimbre.models.tortoise_diffusion import TORTOISE_DIFFUSION
from retimbre.models.tortoise_diffusion.config import DiffusionConfig
from retimbre.models.tortoise_dvae import TORTOISE_DVAE
from retimbre.models.tortoise_dvae.config import DvaeConfig
from retimbre.models.tortoise_hifigan import TORTOISE_HIFIGAN
from retimbre.models.tortoise_hifigan.config import LatentDecoderConfig
from retimbre.models.tortoise_random_latent import TORTOISE_RANDOM_LATENT
from retimbre.models.tortoise_random_latent.config import RandomLatentConfig
from retimbre.models.univnet import UNIVNET
from retimbre.models.univnet.config import UnivNetConfig

N_CODES = 256  # enough for the codes that TorToiSe's own code names: 83 is silence, 45, 45, 248 is an end
DIM = 128  # of the autoregressive network, whose attention then has two heads
DIFFUSION_DIM = 48  # a voice is twice as wide: not as wide as DIM, so that the two random voices differ
STOP_SCORE = 2.9  # next to scores of spread 1.5: some two dozen codes are spoken
AR = UnifiedVoiceConfig(
    n_layers=2,
    dim=DIM,
    n_heads=DIM // 64,
    n_conditioning_layers=1,
    n_codes=N_CODES + 2,
    start_code=N_CODES,
    stop_code=N_CODES + 1,
)
DIFFUSION = DiffusionConfig(
    dim=DIFFUSION_DIM, n_layers=1, n_heads=2, latent_dim=DIM, n_codes=N_CODES + 1, n_mels=100
)
CLVP = ClvpConfig(
    n_codes=N_CODES,
    text_dim=64,
    n_text_layers=1,
    n_text_heads=1,
    text_attention_dim=64,
    speech_dim=64,
    n_speech_layers=1,
    n_speech_heads=1,
    speech_attention_dim=64,
    latent_dim=64,
)


@dataclass(frozen=True, kw_only=True)
class Part:
    """One file of a set.

    Args:
        below: The key under which the file has the weights, if not at the top.
    """

    family: Family
    config: Any
    below: str | None = None


PARTS: Mapping[str, Part] = {
    "autoregressive": Part(family=TORTOISE_AR, config=AR),
    "diffusion_decoder": Part(family=TORTOISE_DIFFUSION, config=DIFFUSION),
    "vocoder": Part(family=UNIVNET, config=UnivNetConfig(noise_dim=8, dim=4), below="model_g"),
    "clvp2": Part(family=TORTOISE_CLVP, config=CLVP),
    "rlg_auto": Part(family=TORTOISE_RANDOM_LATENT, config=RandomLatentConfig(dim=DIM)),
    "rlg_diffuser": Part(family=TORTOISE_RANDOM_LATENT, config=RandomLatentConfig(dim=2 * DIFFUSION_DIM)),
    "dvae": Part(
        family=TORTOISE_DVAE, config=DvaeConfig(n_codes=N_CODES, codebook_dim=8, dim=8, n_resblocks=1)
    ),
    "hifidecoder": Part(
        family=TORTOISE_HIFIGAN,
        config=LatentDecoderConfig(latent_dim=DIM, conditioning_dim=DIM, initial_channels=16),
    ),
}


def tiny_tortoise_set(folder: Path, seed: int = 0, **changes: Any) -> Path:
    """Write a set that is complete and fits; some two dozen codes are spoken before a stop.

    Args:
        changes: Name of a file -> another config for it, or None to leave it out:
            `tiny_tortoise_set(folder, clvp2=None)`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for number, (name, part) in enumerate(PARTS.items()):
        if (config := changes.get(name, part.config)) is not None:
            save_part(folder / f"{name}.pth", part.family, config, seed=100 * seed + number, below=part.below)
    return folder


def save_part(path: Path, family: Family, config: Any, *, seed: int = 0, below: str | None = None) -> Path:
    """Random weights of one network as TorToiSe's file has them."""
    tensors = family.theirs(random_part(family, config, seed=seed).state_dict())
    torch.save({below: tensors} if below else tensors, path)
    return path


def random_part(family: Family, config: Any, *, seed: int) -> nn.Module:
    """A network in which every weight has a say: those that begin at zero are drawn, too."""
    if family is TORTOISE_AR:
        return _speaking(random_network(config, seed=seed))
    torch.manual_seed(seed)
    model = family.build(config).eval()
    with torch.no_grad():
        for tensor in model.parameters():
            if tensor.ndim > 1 and not tensor.any():
                tensor.normal_(std=tensor[0].numel() ** -0.5)
    return model


def _speaking(model: UnifiedVoice) -> UnifiedVoice:
    """Neither silent nor endless: at every place its stop has nearly the same chance."""
    stop = model.config.stop_code
    with torch.no_grad():
        model.mel_head.weight.normal_(std=1.5 * model.config.dim**-0.5)
        model.mel_head.bias.zero_()
        model.mel_head.weight[stop] = 0.0
        model.mel_head.bias[stop] = STOP_SCORE
    return model

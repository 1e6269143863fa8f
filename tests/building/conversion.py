"""Tiny models of every family as files of ours, and how two files compare: bit for bit."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from building.models import STATS, description_of, generator_config, text_to_spec_config
from building.rankers import CLVP, CVVP
from retimbre.audio.mel import mel_librosa
from retimbre.checkpoint.read import read
from retimbre.models.description import Description, sizes_of
from retimbre.models.fastspeech2.config import ConformerSizes, Level, PredictorSizes, StyleSizes
from retimbre.models.hifigan.config import DiscriminatorConfig
from retimbre.models.hifigan.discriminators import Discriminators
from retimbre.models.load import save_model
from retimbre.models.registry import FAMILIES
from retimbre.models.tortoise_ar.config import UnifiedVoiceConfig
from retimbre.models.tortoise_diffusion.config import DiffusionConfig
from retimbre.models.tortoise_dvae.config import DvaeConfig
from retimbre.models.tortoise_hifigan.config import LatentDecoderConfig
from retimbre.models.tortoise_random_latent.config import RandomLatentConfig
from retimbre.models.univnet.config import UnivNetConfig
from retimbre.text.features import symbol_features
from retimbre.text.normalise import TextRules
from retimbre.text.split import Boundaries, Splitting
from retimbre.text.symbols import everyvoice_symbols

FAMILY = {family.name: family for family in FAMILIES}
LETTERS = everyvoice_symbols(characters=tuple("abcdefghijklmnopqrstuvwxyz")).symbols
PHONES = everyvoice_symbols(phones=("a", "b", "ʃ", "t͡ʃ", "ɛ", "iː", "k", "s")).symbols
CONVOLUTION = {
    "upsample_rates": (8, 8, 2, 2), "upsample_kernels": (16, 16, 4, 4), "initial_channels": 16,
    "istft_n_fft_samples": None,
}  # fmt: skip
VOCODERS = {
    "hifigan": generator_config(**CONVOLUTION),
    "hifigan-plain-blocks": generator_config(**CONVOLUTION, resblock="2", resblock_dilations=((1, 3),)),
    "hifigan-istft": generator_config(),
}
TORTOISE: Mapping[str, Any] = {
    "tortoise_ar": UnifiedVoiceConfig(
        n_layers=2, dim=64, n_heads=1, n_conditioning_layers=6, n_symbols=12, n_codes=20,
        n_symbol_positions=14, n_code_positions=17, start_symbol=11, start_code=18, stop_code=19,
    ),
    "tortoise_dvae": DvaeConfig(n_mels=5, n_codes=9, codebook_dim=6, dim=4, n_layers=2, n_resblocks=2),
    "tortoise_diffusion": DiffusionConfig(
        n_mels=5, dim=64, n_layers=2, n_heads=2, latent_dim=32, n_codes=11
    ),
    "tortoise_clvp": CLVP,
    "tortoise_cvvp": replace(CVVP, dim=24),
    "tortoise_random_latent": RandomLatentConfig(dim=9),
    "tortoise_hifigan": LatentDecoderConfig(
        latent_dim=7, conditioning_dim=5, initial_channels=16, upsample_rates=(4, 2), upsample_kernels=(8, 4),
        resblock_kernels=(3,), resblock_dilations=((1, 3, 5),),
    ),
    "univnet": UnivNetConfig(n_mels=6, noise_dim=3, dim=4, strides=(4, 2), dilations=(1, 3)),
}  # fmt: skip
WITH_WEIGHT_NORM = ("hifigan", "hifigan-plain-blocks", "hifigan-istft", "tortoise_hifigan", "univnet")
# As wide as EveryVoice's own: both of its kinds of discriminators, few of each.
FULL_JUDGES = DiscriminatorConfig(periods=(2, 3), n_scales=1)


def _sizes(dim: int = 8) -> dict[str, Any]:
    stack = ConformerSizes(n_layers=1, dim=dim, feedforward_dim=12, kernel=5)
    predictor = PredictorSizes(n_layers=1, dim=dim)
    usual = {"encoder": stack, "decoder": stack, "pitch": predictor, "energy": predictor}
    return usual | {"n_mels": 80, "attention_dim": 80}


# EveryVoice can build them too: predictors of pitch and energy are as wide as the rest.
EVERYVOICE_SIZES = _sizes()
TEXT_TO_SPEC: Mapping[str, tuple[Any, dict[str, Any]]] = {  # name -> sizes, facts
    "letters": (
        text_to_spec_config(len(LETTERS), **EVERYVOICE_SIZES),
        {
            "symbols": LETTERS,
            "stats": STATS,
            "text_rules": TextRules(cleaners=("lower", "collapse_whitespace"), to_replace={"1": "one"}),
            "splitting": Splitting(is_on=False, boundaries={"eng": Boundaries(strong=".", weak=",")}),
            "lineage": {"contact": "Ann Ahn <ann@a.example>"},
            "step": 77,
        },
    ),
    "frames": (
        text_to_spec_config(
            len(LETTERS), **EVERYVOICE_SIZES, pitch_level=Level.FRAME, energy_level=Level.FRAME,
            learns_alignment=False,
        ),
        {"symbols": LETTERS},
    ),
    "phones": (
        text_to_spec_config(
            len(PHONES), **EVERYVOICE_SIZES | {"postnet_dim": 512}, n_speakers=3, n_languages=2
        ),
        {
            "symbols": PHONES,
            "text_level": "phones",
            "speakers": ("ann", "bob", "eve"),
            "languages": ("eng", "fra"),
            "stats": STATS,
        },
    ),
    "features": (
        text_to_spec_config(len(PHONES), **EVERYVOICE_SIZES, n_features=43),
        {"symbols": PHONES, "text_level": "phones", "stats": STATS},
    ),
    "style": (
        text_to_spec_config(len(LETTERS), **_sizes(256), style=StyleSizes()),
        {"symbols": LETTERS, "stats": STATS},
    ),
}  # fmt: skip


def bits(tensor: Tensor) -> bytes:
    """The numbers as they lie in memory, in the order of the axes."""
    return tensor.detach().contiguous().flatten().view(torch.uint8).numpy().tobytes()


def tensors_of(path: Path) -> dict[str, Tensor]:
    """The weights in a file, under its own names."""
    return dict(read(path).tensors)


def differing(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> list[str]:
    """Names that only one of them has, and of tensors whose type, shape or bits differ."""
    return sorted(found.keys() ^ expected.keys()) + [
        name
        for name in found.keys() & expected.keys()
        if (found[name].dtype, found[name].shape) != (expected[name].dtype, expected[name].shape)
        or bits(found[name]) != bits(expected[name])
    ]


def network_of(name: str, *, dtype: torch.dtype = torch.float32) -> Any:
    """A network of ours none of whose tensors is zero."""
    torch.manual_seed(11)
    family, config = _family_and_config(name)
    network = FAMILY[family].build(config)
    with torch.no_grad():
        for tensor in network.parameters():
            tensor.add_(torch.randn_like(tensor) * 0.05)
        if name in TEXT_TO_SPEC:  # a few frames for each symbol
            network.variance_adaptor.duration_predictor.linear.bias.fill_(1.6)
    if name == "features":
        network.text_input_layer.features.copy_(symbol_features(PHONES))
    return network.to(dtype).eval()


def save(
    folder: Path, name: str, *, dtype: torch.dtype = torch.float32, judges: Any = None, **facts: Any
) -> Path:
    """A file of ours: save(tmp_path, "univnet"), save(tmp_path, "letters", step=3)."""
    family, config = _family_and_config(name)
    sizes = sizes_of(config) | ({"periods": list(judges.periods)} if judges else {})
    mel = FAMILY[family].mel
    described = {"sizes": sizes, "mel": mel(config) if mel else mel_librosa()}
    if family.startswith("tortoise_") and not mel:
        described["mel"] = None
    if name in TEXT_TO_SPEC:
        described |= TEXT_TO_SPEC[name][1]
    if family == "hifigan":
        described["is_exported"] = not judges
    description: Description = description_of(family, described | facts)
    extra = Discriminators(judges).to(dtype).state_dict() if judges else None
    return save_model(folder / f"{name}.safetensors", network_of(name, dtype=dtype), description, extra)


def _family_and_config(name: str) -> tuple[str, Any]:
    if name in TEXT_TO_SPEC:
        return "fastspeech2", TEXT_TO_SPEC[name][0]
    if name in VOCODERS:
        return "hifigan", VOCODERS[name]
    return name, TORTOISE[name]

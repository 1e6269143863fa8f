"""Tiny models of both stages with random weights: as networks, as files, or as they are after loading."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from retimbre.audio.mel import mel_librosa
from retimbre.data.stats import Stat, Stats
from retimbre.models.description import Description, sizes_of
from retimbre.models.fastspeech2.config import ConformerSizes, FastSpeech2Config, PredictorSizes
from retimbre.models.fastspeech2.model import FastSpeech2
from retimbre.models.hifigan.config import DiscriminatorConfig, GeneratorConfig
from retimbre.models.hifigan.discriminators import Discriminators
from retimbre.models.hifigan.model import Generator
from retimbre.models.load import Loaded, save_model

LAYERS = ConformerSizes(n_layers=1, dim=8, feedforward_dim=12, kernel=5)
STATS = Stats(
    pitch=Stat(mean=130.0, std=20.0, min=80.0, max=300.0, n=3),
    energy=Stat(mean=4.0, std=2.0, min=0.1, max=30.0, n=3),
)
JUDGES = DiscriminatorConfig(width=0.02, periods=(2,), n_scales=1)


def text_to_spec_config(n_symbols: int, **changes: Any) -> FastSpeech2Config:
    """Sizes of a fastspeech2 of one layer each; any of them can be another."""
    predictor = PredictorSizes(n_layers=1, dim=6)
    sizes: dict[str, Any] = {
        "encoder": LAYERS,
        "decoder": LAYERS,
        "duration": predictor,
        "pitch": predictor,
        "energy": predictor,
        "n_pitch_bins": 8,
        "n_energy_bins": 8,
        "attention_dim": 4,
        "postnet_dim": None,
    }
    return FastSpeech2Config(n_symbols=n_symbols, **(sizes | changes))


def generator_config(**changes: Any) -> GeneratorConfig:
    """Sizes of an inverse-STFT hifigan with a hop of 256 samples; any of them can be another."""
    sizes: dict[str, Any] = {
        "upsample_rates": (8, 8),
        "upsample_kernels": (16, 16),
        "initial_channels": 8,
        "resblock_kernels": (3,),
        "resblock_dilations": ((1, 3, 5),),
        "istft_n_fft_samples": 16,
    }
    return GeneratorConfig(**(sizes | changes))


def text_to_spec_network(config: FastSpeech2Config, *, seed: int) -> FastSpeech2:
    """It speaks a few frames for each symbol."""
    torch.manual_seed(seed)
    model = FastSpeech2(config)
    with torch.no_grad():
        model.variance_adaptor.duration_predictor.linear.bias.fill_(1.6)
    return model


def description_of(family: str, facts: dict[str, Any]) -> Description:
    """A Description; its spectrogram is called `mel` in tests, as everywhere where there is one."""
    return Description(
        family=family, **{"spectrogram" if key == "mel" else key: fact for key, fact in facts.items()}
    )


def loaded_text_to_spec(config: FastSpeech2Config, *, seed: int, **described: Any) -> Loaded:
    """As after loading: loaded_text_to_spec(config, seed=1, mel=…, symbols=…)."""
    description = description_of("fastspeech2", {"sizes": {}, "stats": STATS} | described)
    model, path = text_to_spec_network(config, seed=seed).eval(), Path("tuned.safetensors")
    return Loaded(model=model, description=description, path=path, stage="text-to-spec")


def loaded_vocoder(config: GeneratorConfig, *, seed: int, **described: Any) -> Loaded:
    """As after loading: loaded_vocoder(config, seed=1, mel=…)."""
    torch.manual_seed(seed)
    model, path = Generator(config).eval(), Path("vocoder.safetensors")
    description = description_of("hifigan", {"sizes": {}} | described)
    return Loaded(model=model, description=description, path=path, stage="spec-to-wav")


def save_text_to_spec(path: Path, config: FastSpeech2Config, *, seed: int = 0, **described: Any) -> Path:
    """A checkpoint: save_text_to_spec(path, config, symbols=…); of EveryVoice's spectrogram unless told."""
    description = description_of("fastspeech2", {"sizes": sizes_of(config), "mel": mel_librosa()} | described)
    return save_model(path, text_to_spec_network(config, seed=seed), description)


def save_vocoder(
    path: Path, config: GeneratorConfig, *, seed: int = 1, has_discriminators: bool = True, **described: Any
) -> Path:
    """A checkpoint, with discriminators or exported without them; of EveryVoice's spectrogram unless told."""
    torch.manual_seed(seed)
    judges, generator = Discriminators(JUDGES), Generator(config)
    sizes = {**sizes_of(config), "periods": list(JUDGES.periods)}
    description = description_of("hifigan", {"sizes": sizes, "mel": mel_librosa()} | described)
    description = replace(description, is_exported=not has_discriminators)
    return save_model(path, generator, description, judges.state_dict() if has_discriminators else None)

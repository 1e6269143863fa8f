"""Tiny models of both stages, as they are after loading, and a few prepared recordings."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from retimbre.audio.mel import MelSpec, mel_librosa
from retimbre.data.prepare import prepare
from retimbre.data.stats import Stat, Stats
from retimbre.data.store import Store
from retimbre.data.utterance import Utterance
from retimbre.models.description import Description
from retimbre.models.fastspeech2.config import ConformerSizes, FastSpeech2Config, PredictorSizes
from retimbre.models.fastspeech2.model import FastSpeech2
from retimbre.models.hifigan.config import GeneratorConfig
from retimbre.models.hifigan.model import Generator
from retimbre.models.load import Loaded

N_MELS = 6
SYMBOLS = ("\x80", " ", *"abcdefgh", "sh", ".")
PITCH = Stat(mean=130.0, std=20.0, min=80.0, max=300.0, n=3)
ENERGY = Stat(mean=4.0, std=2.0, min=0.1, max=30.0, n=3)
DURATIONS_S = {"a": 0.51, "b": 0.83, "c": 0.64}
TEXTS = {"a": "a bad cab.", "b": "a shed", "c": "had a bag"}


@pytest.fixture
def mel() -> MelSpec:
    """Six bands, otherwise as EveryVoice's."""
    return mel_librosa(n_mels=N_MELS)


@pytest.fixture
def text_to_spec(mel: MelSpec) -> Callable[..., Loaded]:
    """A random fastspeech2: text_to_spec(text_level="phones"), text_to_spec(sizes={"n_speakers": 2})."""

    def build(*, sizes: dict[str, Any] | None = None, **described: Any) -> Loaded:
        torch.manual_seed(5)
        layers = ConformerSizes(n_layers=1, dim=8, feedforward_dim=12, kernel=5)
        predictor = PredictorSizes(n_layers=1, dim=6)
        config = FastSpeech2Config(
            n_symbols=len(SYMBOLS),
            n_mels=N_MELS,
            encoder=layers,
            decoder=layers,
            duration=predictor,
            pitch=predictor,
            energy=predictor,
            n_pitch_bins=8,
            n_energy_bins=8,
            attention_dim=4,
            postnet_dim=None,
            **(sizes or {}),
        )
        model = FastSpeech2(config)
        with torch.no_grad():
            model.variance_adaptor.duration_predictor.linear.bias.fill_(1.6)  # a few frames for each symbol
        description = Description(
            family="fastspeech2",
            sizes={},
            mel=mel,
            symbols=SYMBOLS,
            stats=Stats(pitch=PITCH, energy=ENERGY),
            step=12,
        )
        return Loaded(
            model=model.eval(),
            description=replace(description, **described),
            path=Path("tuned.safetensors"),
            stage="text-to-spec",
        )

    return build


@pytest.fixture
def vocoder(mel: MelSpec) -> Callable[..., Loaded]:
    """A random hifigan: vocoder(mel=…), vocoder(output_sample_rate_hz=44100)."""

    def build(**described: Any) -> Loaded:
        torch.manual_seed(6)
        config = GeneratorConfig(
            n_mels=N_MELS,
            upsample_rates=(8, 8),
            upsample_kernels=(16, 16),
            initial_channels=8,
            resblock_kernels=(3,),
            resblock_dilations=((1, 3, 5),),
            istft_n_fft_samples=16,
        )
        description = Description(family="hifigan", sizes={}, mel=mel, step=34)
        return Loaded(
            model=Generator(config).eval(),
            description=replace(description, **described),
            path=Path("vocoder.safetensors"),
            stage="spec-to-wav",
        )

    return build


@pytest.fixture(scope="session")
def prepared_once(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, list[Utterance]]:
    """Three recordings, prepared; nothing may write into this folder."""
    recordings = tmp_path_factory.mktemp("recordings")
    for number, (name, duration_s) in enumerate(DURATIONS_S.items()):
        time_s = np.arange(int(duration_s * 22050)) / 22050
        draw = np.random.default_rng(number)
        phase = 2 * math.pi * (120 + 30 * number) * (time_s + 0.002 * np.sin(12 * time_s))
        wave = sum(np.sin(n * phase + draw.uniform(0, 6)) / n for n in range(1, 12))
        soundfile.write(recordings / f"{name}.wav", 0.1 * wave, 22050)
    utterances = [Utterance(basename=name, text=text) for name, text in TEXTS.items()]
    store = Store(tmp_path_factory.mktemp("prepared"))
    prepare(utterances, recordings, store, mel=mel_librosa(n_mels=N_MELS), n_workers=1)
    return store, utterances

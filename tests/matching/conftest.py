"""Six prepared recordings as training material, and a tiny vocoder that answers with something."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from retimbre.audio.mel import mel_librosa
from retimbre.data.prepare import prepare
from retimbre.data.stats import Stat, Stats
from retimbre.data.store import Store
from retimbre.data.utterance import Utterance
from retimbre.models.description import Description
from retimbre.models.hifigan.config import GeneratorConfig
from retimbre.models.hifigan.model import Generator
from retimbre.models.load import Loaded
from retimbre.training.material import Material

MEL = mel_librosa(n_mels=20)
STAT = Stat(mean=130.0, std=20.0, min=80.0, max=300.0, n=3)


def voice(duration_s: float, seed: int) -> np.ndarray:
    """Something like a vowel that swells and falls."""
    time_s = np.arange(int(duration_s * 22050)) / 22050
    draw = np.random.default_rng(seed)
    phase = 2 * math.pi * (110 + 15 * seed) * (time_s + 0.002 * np.sin(12 * time_s))
    wave = sum(np.sin(n * phase + draw.uniform(0, 6)) / n for n in range(1, 15))
    swell = 0.2 + np.abs(np.sin(9 * time_s + seed))
    return 0.1 * swell * wave / np.abs(wave).max() + 0.002 * draw.standard_normal(len(time_s))


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Material:
    """Training material: two utterances to train on, one to choose by, three held out."""
    recordings = tmp_path_factory.mktemp("recordings")
    for number in range(6):
        soundfile.write(recordings / f"u{number}.wav", voice(0.6 + 0.07 * number, number), 22050)
    utterances = tuple(Utterance(basename=f"u{number}", text=f"text {number}") for number in range(6))
    store = Store(tmp_path_factory.mktemp("preprocessed"))
    prepare(utterances, recordings, store, mel=MEL, n_workers=1)
    return Material(
        store=store,
        mel=MEL,
        training=utterances[:2],
        validation=utterances[2:3],
        held_out=utterances[3:],
        left_out=(),
        stats=Stats(pitch=STAT, energy=STAT),
    )


@pytest.fixture
def material(prepared: Material, tmp_path: Path) -> Material:
    """The same in a folder that produced specs may be written to."""
    for folder in prepared.store.root.iterdir():
        (tmp_path / folder.name).symlink_to(folder)
    return replace(prepared, store=Store(tmp_path))


@pytest.fixture
def vocoder() -> Loaded:
    """A random hifigan."""
    torch.manual_seed(8)
    config = GeneratorConfig(
        n_mels=20,
        upsample_rates=(8, 8),
        upsample_kernels=(16, 16),
        initial_channels=8,
        resblock_kernels=(3,),
        resblock_dilations=((1, 3, 5),),
        istft_n_fft_samples=16,
    )
    description = Description(family="hifigan", sizes={}, mel=MEL, step=3)
    return Loaded(
        model=Generator(config).eval(),
        description=description,
        path=Path("vocoder.safetensors"),
        stage="spec-to-wav",
    )


@pytest.fixture
def produce(material: Material) -> Callable[..., None]:
    """Write produced specs: the real ones, changed by a function."""

    def write(change: Callable[[torch.Tensor], torch.Tensor]) -> None:
        for utterance in material.utterances:
            spec = change(material.store.load_spec(utterance, MEL))
            material.store.write_produced_spec(utterance, spec, MEL)

    return write

"""Six prepared recordings as training material, and a tiny vocoder that answers with something."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from building.models import STATS, generator_config, loaded_vocoder
from building.sounds import record, vowel
from retimbre.audio.mel import mel_librosa
from retimbre.data.prepare import prepare
from retimbre.data.store import Store
from retimbre.data.utterance import Utterance
from retimbre.models.load import Loaded
from retimbre.training.material import Material

MEL = mel_librosa(n_mels=20)


def swelling(time_s: np.ndarray, seed: int) -> np.ndarray:
    """How loud at each time."""
    return 0.1 + 0.5 * np.abs(np.sin(9 * time_s + seed))


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Material:
    """Training material: two utterances to train on, one to choose by, three held out."""
    waves = {
        f"u{seed}": vowel(
            0.6 + 0.07 * seed, f0_hz=110 + 15 * seed, seed=seed, gain=partial(swelling, seed=seed)
        )
        for seed in range(6)
    }
    recordings = record(tmp_path_factory.mktemp("recordings"), waves)
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
        stats=STATS,
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
    return loaded_vocoder(generator_config(n_mels=20), seed=8, mel=MEL, step=3)


@pytest.fixture
def produce(material: Material) -> Callable[..., None]:
    """Write produced specs: the real ones, changed by a function."""

    def write(change: Callable[[torch.Tensor], torch.Tensor]) -> None:
        for utterance in material.utterances:
            spec = change(material.store.load_spec(utterance, MEL))
            material.store.write_produced_spec(utterance, spec, MEL)

    return write

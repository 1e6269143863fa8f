"""Tiny models of both stages, as they are after loading, and a few prepared recordings."""

from collections.abc import Callable
from typing import Any

import pytest

from building.models import generator_config, loaded_text_to_spec, loaded_vocoder, text_to_spec_config
from building.sounds import record, vowel
from retimbre.audio.mel import MelSpec, mel_librosa
from retimbre.data.prepare import prepare
from retimbre.data.store import Store
from retimbre.data.utterance import Utterance
from retimbre.models.load import Loaded

N_MELS = 6
SYMBOLS = ("\x80", " ", *"abcdefgh", "sh", ".")
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
        config = text_to_spec_config(len(SYMBOLS), n_mels=N_MELS, **(sizes or {}))
        return loaded_text_to_spec(config, seed=5, **{"mel": mel, "symbols": SYMBOLS, "step": 12} | described)

    return build


@pytest.fixture
def vocoder(mel: MelSpec) -> Callable[..., Loaded]:
    """A random hifigan: vocoder(mel=…), vocoder(output_sample_rate_hz=44100)."""

    def build(**described: Any) -> Loaded:
        return loaded_vocoder(generator_config(n_mels=N_MELS), seed=6, **{"mel": mel, "step": 34} | described)

    return build


@pytest.fixture(scope="session")
def prepared_once(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, list[Utterance]]:
    """Three recordings, prepared; nothing may write into this folder."""
    waves = {
        name: vowel(duration_s, f0_hz=120 + 30 * number, seed=number)
        for number, (name, duration_s) in enumerate(DURATIONS_S.items())
    }
    recordings = record(tmp_path_factory.mktemp("recordings"), waves)
    utterances = [Utterance(basename=name, text=text) for name, text in TEXTS.items()]
    store = Store(tmp_path_factory.mktemp("prepared"))
    prepare(utterances, recordings, store, mel=mel_librosa(n_mels=N_MELS), n_workers=1)
    return store, utterances

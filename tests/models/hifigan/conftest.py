"""A spectrogram for tiny vocoders."""

import pytest

from retimbre.audio.mel import MelSpec, mel_librosa


@pytest.fixture
def small_mel() -> MelSpec:
    """Five bands, otherwise as EveryVoice's."""
    return mel_librosa(n_mels=5)

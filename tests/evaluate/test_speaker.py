"""The encoder is the published one, and its weights are read without running their package."""

import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from retimbre.audio.files import load_audio
from retimbre.audio.waveform import Audio
from retimbre.checkpoint.fill import load_weights
from retimbre.errors import DataError, MissingExtra
from retimbre.evaluate import speaker
from retimbre.evaluate.speaker import (
    SLICE_FRAMES,
    SpeakerEncoder,
    embedding,
    has_speaker_encoder,
    load_speaker_encoder,
    voice_of,
)

RATE_HZ = 16_000
THEIRS = Path(__file__).parents[1] / "fixtures" / "speaker" / "embeddings.json"


@pytest.fixture
def encoder():
    """With random weights."""
    torch.manual_seed(5)
    return SpeakerEncoder().eval()


def test_without_the_package_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr(speaker, "find_spec", lambda name: None)
    assert not has_speaker_encoder()
    with pytest.raises(MissingExtra, match="pip install --no-deps resemblyzer"):
        load_speaker_encoder()


@pytest.mark.parametrize(
    ("duration_s", "n_slices"), [(0.3, 1), (1.6, 1), (2.4, 2), (1.7, 1), (3.2, 3), (5.0, 5)]
)
def test_slices_of_1_6_s_begin_every_0_77_s_and_end_where_speech_does(duration_s, n_slices):
    starts = speaker._starts(round(duration_s * RATE_HZ))
    assert starts == [77 * n for n in range(n_slices)]


def test_an_embedding_is_the_mean_direction_of_the_slices(voice, encoder):
    audio = voice(n_samples=51_111, rate_hz=RATE_HZ, gain=0.3)  # loud enough to stay as it is
    energies = speaker.log_mel(audio.samples, speaker.ENERGY).double().exp().T
    starts = speaker._starts(audio.n_samples)
    assert len(starts) == 3
    slices = torch.stack([energies[start : start + SLICE_FRAMES] for start in starts])
    directions = encoder.double()(slices)
    expected = torch.nn.functional.normalize(directions.mean(0), dim=-1)

    found = embedding(encoder.float(), audio)

    torch.testing.assert_close(found.double(), expected.detach(), atol=1e-5, rtol=0)
    assert float(found.norm()) == pytest.approx(1, abs=1e-5)


def by_formula(rank, shape):
    """Numbers from -1 to 1 that both sides of a comparison can make."""
    mixed = np.arange(math.prod(shape), dtype=np.uint32) * np.uint32(2654435761)
    mixed += np.uint32((rank + 1) * 40503 * 65537 % 2**32)
    mixed ^= mixed >> 15
    mixed *= np.uint32(1274126177)
    mixed ^= mixed >> 13
    return torch.from_numpy(mixed / 2**31 - 1).float().view(shape)


@pytest.mark.parametrize("n_samples", [8_000, 51_111, 70_003])
def test_an_embedding_is_that_of_resemblyzer(encoder, n_samples):
    weights = sorted(encoder.state_dict().items())
    load_weights(encoder, {name: 0.1 * by_formula(i, t.shape) for i, (name, t) in enumerate(weights)})
    audio = Audio(samples=0.3 * by_formula(99, (n_samples,)), sample_rate_hz=RATE_HZ)

    expected = torch.tensor(json.loads(THEIRS.read_text(encoding="utf-8"))[str(n_samples)])

    torch.testing.assert_close(embedding(encoder, audio), expected, rtol=0, atol=2e-6)


def test_soft_speech_is_turned_up_and_sounds_like_the_same_person(voice, encoder):
    loud = voice(n_samples=40_001, gain=0.02)
    soft = Audio(samples=loud.samples / 40, sample_rate_hz=loud.sample_rate_hz)
    assert float(embedding(encoder, loud) @ embedding(encoder, soft)) == pytest.approx(1, abs=1e-5)


def test_silence_has_no_speaker(encoder):
    with pytest.raises(DataError, match="without sound"):
        embedding(encoder, Audio(samples=torch.zeros(RATE_HZ), sample_rate_hz=RATE_HZ))


def test_the_weights_are_read_without_importing_the_package():
    if not has_speaker_encoder():
        pytest.skip("resemblyzer is not installed")
    load_speaker_encoder()
    assert "resemblyzer" not in sys.modules


def test_recordings_of_one_person_are_closer_than_those_of_two(shared):
    if not has_speaker_encoder():
        pytest.skip("resemblyzer is not installed")
    encoder = load_speaker_encoder()
    folders = [shared / "data" / name / "wavs" for name in ("ljspeech-mini", "kathleen")]
    lj, kathleen = ([load_audio(path) for path in sorted(folder.iterdir())[:4]] for folder in folders)
    voice = voice_of(encoder, lj[:2])
    same = [float(voice @ embedding(encoder, audio)) for audio in lj[2:]]
    other = [float(voice @ embedding(encoder, audio)) for audio in kathleen]
    assert min(same) > 0.85 > 0.75 > max(other)

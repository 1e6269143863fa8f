"""Effects on recordings, against what the program SoX makes of the same ones."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from retimbre.audio.effect_chain import Sound, applied
from retimbre.audio.effects import effect_of
from retimbre.errors import AudioError

FIXTURE = Path(__file__).parents[1] / "fixtures" / "sox" / "effects.json"
TRIMMED = ("silence 1 0.1 0.1%", "reverse", "silence 1 0.1 0.1%", "reverse")
CHAINS = {
    "mono": [
        ("channels 1", "norm -3.0"),
        ("channels 1", *TRIMMED),
        ("channels 1", "silence 1 0.1 1.0% -1 0.4 1%"),
        ("channels 1", "norm -3.0", *TRIMMED, "silence 1 0.1 1.0% -1 0.4 1%"),
        ("silence 1 0.1 1% 1 0.15 1%",),
        ("silence 1 700 -38d -1 2000 -38d",),
        ("silence 0 1 0.4 2%",),
        ("gain -n -1", "gain 6", "gain -6"),
        ("vol 0.5", "vol -2 dB", "vol -0.25 power"),
        ("highpass 120", "lowpass 1.5k 0.5q"),
        ("highpass -1 300", "lowpass -1 2000"),
        ("channels 2",),
    ],
    "stereo": [
        ("channels 1",),
        ("remix -", "norm"),
        ("remix 2",),
        ("remix 1,2", "gain 9"),
        ("remix 2 1",),
        ("channels 1", "norm -3.0", *TRIMMED),
    ],
}


def mono(rate_hz=8000):
    """1.9 s: hum, a short click, a word, a pause, a soft word, a long pause with hum, a word, hum."""
    parts = [(0.21, 0.0004), (0.04, 0.2), (0.2, 0.0005), (0.3, 0.25), (0.18, 0.002), (0.15, 0.03)]
    parts += [(0.46, 0.0006), (0.2, 0.12), (0.16, 0.0003)]
    pieces, phase = [], 0.0
    for duration_s, loudness in parts:
        time = np.arange(round(duration_s * rate_hz)) / rate_hz
        f0_hz = 110 + 300 * loudness
        tones = sum(np.sin(2 * math.pi * n * f0_hz * time + n * n + phase) / n for n in range(1, 8))
        pieces.append(loudness * tones)
        phase += 1.3
    return np.concatenate(pieces)[None]


def stereo():
    one = mono(11025)[0]
    return np.stack([one, 0.6 * np.roll(one, 40) + 0.1 * np.sin(np.arange(len(one)) / 9)])


def cases():
    return [(name, chain) for name, chains in CHAINS.items() for chain in chains]


def after(chain, wave, rate_hz=8000):
    return applied([effect_of(text) for text in chain], Sound(wave=wave, sample_rate_hz=rate_hz))


@pytest.mark.parametrize(("name", "chain"), cases(), ids=lambda value: str(value))
def test_a_recording_sounds_as_after_sox(name, chain):
    expected = json.loads(FIXTURE.read_text())["results"][f"{name}: {' | '.join(chain)}"]
    wave, rate_hz = (mono(), 8000) if name == "mono" else (stereo(), 11025)
    found = after(chain, wave, rate_hz)

    assert found.sample_rate_hz == expected["sample_rate_hz"]
    assert list(found.wave.shape) == expected["shape"]
    np.testing.assert_allclose(found.wave[:, ::50], expected["every_50th"], atol=2e-8)


def test_more_channels_are_mixed_into_each_of_fewer():
    waves = np.random.default_rng(0).uniform(-1, 1, (3, 901))
    found = after(["channels 2"], waves).wave

    np.testing.assert_allclose(found, [(waves[0] + waves[2]) / 2, waves[1]])


def test_a_pause_that_is_shorter_stays():
    found = after(["silence 1 0.1 1% -1 0.5 1%"], mono()).wave

    assert found.shape[1] == after(["silence 1 0.1 1%"], mono()).wave.shape[1]


def test_another_rate_keeps_the_pitch():
    time = np.arange(8001) / 8000
    found = after(["rate 16k"], np.sin(2 * math.pi * 440 * time)[None])

    assert found.sample_rate_hz == 16000
    middle = found.wave[0, 4000:12000]
    np.testing.assert_allclose(middle, np.sin(2 * math.pi * 440 * np.arange(4000, 12000) / 16000), atol=1e-4)


@pytest.mark.parametrize(
    ("chain", "message"),
    [
        (["silence 1 0.1 90%"], "the effects leave nothing of it: expected sound"),
        (["remix 3"], "'remix' asks for channel 3: found a recording with 1"),
        (["highpass 4k"], r"'highpass' needs more than twice 4000 Hz: found a recording at 8,000 Hz"),
    ],
)
def test_what_a_recording_cannot_give_is_said(chain, message):
    with pytest.raises(AudioError, match=message):
        after(chain, mono())


def test_digital_silence_is_not_raised():
    assert not after(["norm"], np.zeros((1, 77))).wave.any()

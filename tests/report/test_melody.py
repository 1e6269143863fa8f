"""Pitch is drawn where there is voice, higher for a higher voice, each version in its colour."""

import re

import numpy as np
import torch

from retimbre.audio.mel import mel_librosa
from retimbre.audio.waveform import Audio
from retimbre.report.melody import melody_svg

RATE_HZ = 22050


def vowel(f0_hz, *, duration_s=0.6, silent_s=(0.0, 0.0), seed=0):
    """Harmonics with a pause."""
    time_s = np.arange(int(duration_s * RATE_HZ)) / RATE_HZ
    wave = sum(np.sin(2 * np.pi * n * f0_hz * time_s) / n for n in range(1, 12))
    wave = wave * ((time_s < silent_s[0]) | (time_s > silent_s[1]))
    noise = np.random.default_rng(seed).standard_normal(len(time_s))
    return Audio(samples=torch.from_numpy(0.1 * wave + 1e-4 * noise).float(), sample_rate_hz=RATE_HZ)


def lines(svg):
    """(class, heights) of each line."""
    found = re.findall(r'<polyline points="([^"]+)" class="([^"]+)"', svg)
    return [(style, [float(point.split(",")[1]) for point in points.split()]) for points, style in found]


def test_a_higher_voice_is_drawn_higher_and_in_its_own_colour():
    drawn = lines(melody_svg({0: vowel(120.0), 3: vowel(240.0)}, mel_librosa()))

    assert [style for style, _ in drawn] == ["melody system-0", "melody system-3"]
    (_, low), (_, high) = drawn
    assert max(high) < min(low)


def test_a_pause_is_a_gap():
    whole = lines(melody_svg({0: vowel(150.0)}, mel_librosa()))
    broken = lines(melody_svg({0: vowel(150.0, silent_s=(0.25, 0.4))}, mel_librosa()))

    assert len(whole) == 1
    assert len(broken) == 2


def test_nothing_is_drawn_of_what_has_no_pitch():
    noise = torch.from_numpy(np.random.default_rng(0).standard_normal(9001)).float()
    hiss = Audio(samples=0.01 * noise, sample_rate_hz=RATE_HZ)
    broken = Audio(samples=torch.full((9001,), float("nan")), sample_rate_hz=RATE_HZ)
    short = Audio(samples=noise[:50], sample_rate_hz=RATE_HZ)

    assert melody_svg({0: hiss, 1: broken, 2: short}, mel_librosa()) == ""
    assert len(lines(melody_svg({0: broken, 1: vowel(150.0)}, mel_librosa()))) == 1

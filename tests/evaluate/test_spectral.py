"""The two spectral measures follow their written definitions."""

import math

import numpy as np
import pytest
import torch

from retimbre.audio.mel import mel_librosa, tortoise_mel80
from retimbre.audio.waveform import Audio
from retimbre.errors import DataError
from retimbre.evaluate.spectral import mel_cepstral_distortion, mel_distance


def loop_cepstra(samples: list[float], rate_hz: int) -> list[list[float]]:
    """Band powers per frame, in plain float64 loops (only the Fourier transform is numpy's)."""
    window, hop = 2 * round(25 * rate_hz / 2000), 2 * round(5 * rate_hz / 2000)
    n_fft = 1
    while n_fft < window:
        n_fft *= 2
    n_fft *= 2
    top_mel = 2595 * math.log10(1 + 8000 / 700)
    corners = [700 * (10 ** (top_mel * i / 81 / 2595) - 1) for i in range(82)]
    frames = []
    for k in range(1 + (len(samples) - 1) // hop):
        piece = []
        for i in range(window):
            at = k * hop - window // 2 + i
            value = samples[at] if 0 <= at < len(samples) else 0.0
            piece.append(value * (0.5 - 0.5 * math.cos(2 * math.pi * i / window)))
        power = np.abs(np.fft.rfft(piece, n=n_fft)) ** 2
        bands = []
        for low, middle, high in zip(corners[:-2], corners[1:-1], corners[2:], strict=True):
            total = 0.0
            for b, value in enumerate(power):
                hz = b * rate_hz / n_fft
                total += value * max(0.0, min((hz - low) / (middle - low), (high - hz) / (high - middle)))
            bands.append(total)
        frames.append(bands)
    return frames


def loop_distortion(reference: Audio, candidate: Audio) -> float:
    n_samples = min(reference.n_samples, candidate.n_samples)
    ours, theirs = (
        loop_cepstra(audio.samples[:n_samples].double().tolist(), audio.sample_rate_hz)
        for audio in (reference, candidate)
    )
    floor = max(max(bands) for bands in ours) * 1e-8
    total = 0.0
    for a, b in zip(ours, theirs, strict=True):
        squares = 0.0
        for m in range(1, 14):
            c = [
                2
                / 80
                * sum(
                    0.5 * math.log(max(x, floor)) * math.cos(math.pi * m * (i + 0.5) / 80)
                    for i, x in enumerate(f)
                )
                for f in (a, b)
            ]
            squares += (c[0] - c[1]) ** 2
        total += 10 / math.log(10) * math.sqrt(2 * squares)
    return total / len(ours)


def test_distortion_equals_its_definition_written_as_loops(voice, hissed):
    reference = voice(n_samples=3333)
    candidate = hissed(voice(n_samples=3300, f0_hz=151.0), 0.01)
    expected = loop_distortion(reference, candidate)
    assert expected > 1
    assert mel_cepstral_distortion(reference, candidate) == pytest.approx(expected, rel=1e-9)


def test_the_same_recording_has_no_distance(voice):
    audio = voice()
    assert mel_distance(audio, audio, mel_librosa()) == 0
    assert mel_cepstral_distortion(audio, audio) == 0


def test_loudness_is_a_mel_distance_but_no_distortion(voice):
    # Loud hiss, so that no cell lies near the floor.
    loud, soft = voice(gain=0.2, hiss=1.0), voice(gain=0.1, hiss=1.0)
    assert mel_distance(loud, soft, mel_librosa()) == pytest.approx(math.log(2), abs=0.01)
    assert mel_cepstral_distortion(loud, soft) == pytest.approx(0, abs=1e-3)


def test_more_hiss_is_a_larger_distance(voice, hissed):
    audio, mel = voice(), mel_librosa()
    candidates = [hissed(audio, share) for share in (0.001, 0.01, 0.1)]
    distances = [mel_distance(audio, candidate, mel) for candidate in candidates]
    distortions = [mel_cepstral_distortion(audio, candidate) for candidate in candidates]
    assert distances == sorted(distances)
    assert distortions == sorted(distortions)


def test_what_lies_80_db_down_does_not_count_but_an_audible_hum_does(voice, hissed):
    audio = voice(hiss=0.0)
    assert mel_distance(audio, hissed(audio, 1e-7), mel_librosa()) < 0.01
    assert mel_distance(audio, hissed(audio, 1e-2), mel_librosa()) > 0.5


def test_mel_distance_is_in_nepers_whatever_numbers_the_model_uses(voice, hissed):
    audio = voice()
    divisors = tuple(1.0 + i / 10 for i in range(80))
    plain, divided = tortoise_mel80(()), tortoise_mel80(divisors)
    candidate = hissed(audio, 0.01)
    assert mel_distance(audio, candidate, divided) == mel_distance(audio, candidate, plain)


def test_two_frames_may_be_missing_and_three_may_not(voice):
    audio, mel = voice(), mel_librosa()
    assert mel_distance(audio, voice(n_samples=17_321 - 512), mel) >= 0
    short = voice(n_samples=17_321 - 600)
    with pytest.raises(DataError, match="same length"):
        mel_distance(audio, short, mel)
    with pytest.raises(DataError, match="same length"):
        mel_cepstral_distortion(audio, short)


def test_another_sample_rate_is_refused(voice):
    with pytest.raises(DataError, match="different sample rates"):
        mel_cepstral_distortion(voice(), voice(rate_hz=16000))


def test_nothing_and_not_a_number_are_refused(voice):
    nothing = Audio(samples=torch.empty(0), sample_rate_hz=22050)
    with pytest.raises(DataError, match="empty"):
        mel_cepstral_distortion(nothing, nothing)
    broken = voice()
    broken.samples[100] = float("nan")
    with pytest.raises(DataError, match="not numbers"):
        mel_cepstral_distortion(voice(), broken)


def test_warping_forgives_a_pause(voice):
    audio = voice()
    pause = torch.zeros(2000)
    late = Audio(samples=torch.cat([pause, audio.samples]), sample_rate_hz=audio.sample_rate_hz)
    assert mel_cepstral_distortion(audio, late, is_warped=True) < 2
    assert mel_cepstral_distortion(audio, audio, is_warped=True) == 0


@pytest.mark.parametrize("rate_hz", [16000, 24000, 48000])
def test_every_sample_rate_has_a_distortion(voice, rate_hz):
    reference, candidate = voice(rate_hz=rate_hz), voice(rate_hz=rate_hz, hiss=0.1)
    assert 0 < mel_cepstral_distortion(reference, candidate) < 30

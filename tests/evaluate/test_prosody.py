"""Pitch and voicing errors of voices whose pitch is known."""

import math

import pytest
import torch

from retimbre.audio.mel import mel_librosa
from retimbre.audio.waveform import Audio
from retimbre.evaluate.prosody import f0_error, prosody_errors, voicing_error


def test_a_semitone_is_a_hundred_cents(voice):
    error = f0_error(voice(f0_hz=140.0), voice(f0_hz=140.0 * 2 ** (1 / 12)), mel_librosa())
    assert error == pytest.approx(100, abs=15)


def test_the_same_voice_has_no_error(voice):
    errors = prosody_errors(voice(), voice(), mel_librosa())
    assert errors.f0_cents == 0
    assert errors.voicing_percent == 0


def test_noise_has_no_pitch_to_compare(voice):
    audio = voice()
    noise = Audio(samples=1e-4 * torch.rand(audio.n_samples), sample_rate_hz=audio.sample_rate_hz)
    silence = Audio(samples=torch.zeros(audio.n_samples), sample_rate_hz=audio.sample_rate_hz)
    assert math.isnan(f0_error(audio, silence, mel_librosa()))
    assert voicing_error(audio, noise, mel_librosa()) > 30

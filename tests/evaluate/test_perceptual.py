"""The perceptual score orders damage as a listener would."""

import torch

from retimbre.audio.waveform import Audio
from retimbre.evaluate.perceptual import perceptual_score
from retimbre.evaluate.spectral import mel_cepstral_distortion


def with_tones(audio: Audio, gain: float) -> Audio:
    """The tones at the hop rate that a vocoder leaves when it sounds metallic."""
    at = torch.arange(audio.n_samples)
    tones = sum(torch.cos(2 * torch.pi * k * at / 64) for k in range(1, 20))
    return Audio(samples=audio.samples + gain * tones, sample_rate_hz=audio.sample_rate_hz)


def test_the_same_sound_scores_zero(voice):
    assert perceptual_score(voice(), voice()) == 0


def test_louder_metallic_tones_score_worse(voice):
    found = [perceptual_score(voice(), with_tones(voice(), gain)) for gain in (1e-4, 1e-3, 1e-2)]
    assert found == sorted(found)


def test_a_voice_that_lost_its_breath_scores_worse_than_its_spectrum_says(voice):
    reference, candidate = voice(hiss=0.5), voice(hiss=0.05)
    assert perceptual_score(reference, candidate) > mel_cepstral_distortion(reference, candidate) + 1

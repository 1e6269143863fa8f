"""Audio: samples and their rate, and the 16-bit file."""

import numpy as np
import pytest
import soundfile
import torch

from retimbre.audio.waveform import Audio
from retimbre.errors import AudioError


def noise(n, scale=0.2):
    return scale * torch.randn(n, generator=torch.Generator().manual_seed(n))


def test_duration_follows_from_the_sample_rate():
    audio = Audio(samples=noise(1103), sample_rate_hz=22050)

    assert audio.n_samples == 1103
    assert audio.duration_s == pytest.approx(1103 / 22050)


def test_an_impossible_sample_rate_is_refused():
    with pytest.raises(ValueError, match="not above zero"):
        Audio(samples=noise(10), sample_rate_hz=0)


def test_a_saved_file_is_16_bit_mono_and_within_half_a_level(tmp_path):
    audio = Audio(samples=noise(999), sample_rate_hz=16000)
    audio.save(tmp_path / "a.wav")

    levels, rate_hz = soundfile.read(tmp_path / "a.wav", dtype="int16")
    assert soundfile.info(tmp_path / "a.wav").subtype == "PCM_16"
    assert rate_hz == 16000
    assert levels.shape == (999,)
    assert np.abs(levels / 32768 - audio.samples.numpy()).max() <= 0.5001 / 32768


def test_what_lies_beyond_full_scale_is_cut_and_never_wraps(tmp_path):
    Audio(samples=torch.tensor([1.5, -1.5, 1.0, -1.0]), sample_rate_hz=8000).save(tmp_path / "a.wav")

    levels, _ = soundfile.read(tmp_path / "a.wav", dtype="int16")
    assert levels.tolist() == [32767, -32768, 32767, -32768]


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_samples_that_are_not_finite_are_never_written(tmp_path, bad):
    samples = noise(50)
    samples[7] = bad

    with pytest.raises(AudioError, match="1 of 50 that are NaN or infinite"):
        Audio(samples=samples, sample_rate_hz=8000).save(tmp_path / "a.wav")
    assert not (tmp_path / "a.wav").exists()


def test_an_empty_waveform_is_never_written(tmp_path):
    with pytest.raises(AudioError, match="empty"):
        Audio(samples=torch.empty(0), sample_rate_hz=8000).save(tmp_path / "a.wav")


def test_a_missing_folder_is_an_audio_error(tmp_path):
    with pytest.raises(AudioError, match=r"no/a\.wav cannot be written"):
        Audio(samples=noise(50), sample_rate_hz=8000).save(tmp_path / "no" / "a.wav")


def test_audio_that_needs_gradients_can_be_saved(tmp_path):
    Audio(samples=noise(50).requires_grad_(), sample_rate_hz=8000).save(str(tmp_path / "a.wav"))

    assert soundfile.info(tmp_path / "a.wav").frames == 50

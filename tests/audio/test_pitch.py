"""Pitch per frame: as many as the spec has, at the same moments."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from retimbre.audio.files import load_audio
from retimbre.audio.mel import everyvoice_mel, hifigan_original, log_mel, mel_librosa, tortoise_univnet_mel100
from retimbre.audio.pitch import pitch_hz
from retimbre.audio.waveform import Audio
from retimbre.errors import AudioError


def voice(f0_hz, rate_hz=22050):
    """Ten harmonics that follow a curve of one frequency per sample; silent where it is 0."""
    phase = 2 * torch.pi * torch.cumsum(f0_hz.double() / rate_hz, dim=0)
    sound = sum(torch.sin(k * phase) / k for k in range(1, 11)) * (f0_hz > 0)
    return Audio(samples=(0.2 * sound).float(), sample_rate_hz=rate_hz)


def noise(n):
    return torch.randn(n, generator=torch.Generator().manual_seed(n))


@pytest.mark.parametrize("mel", [mel_librosa(), everyvoice_mel(), hifigan_original()])
def test_a_steady_voice_has_its_frequency(mel):
    pitch = pitch_hz(voice(torch.full((16000,), 180.0)), mel)

    assert pitch.is_voiced[3:-3].all()
    torch.testing.assert_close(pitch.f0_hz[3:-3], torch.full_like(pitch.f0_hz[3:-3], 180.0), atol=1.0, rtol=0)


@pytest.mark.parametrize(
    "mel",
    [
        mel_librosa(),
        hifigan_original(),
        tortoise_univnet_mel100(),
        mel_librosa(sample_rate_hz=24000, hop_samples=300, n_fft_samples=2048, window_samples=1200),
    ],
)
def test_there_are_as_many_values_as_frames(mel):
    hop = mel.hop_samples
    for n in [mel.fewest_samples, 13 * hop - 1, 13 * hop, 13 * hop + 1, 26 * hop + hop // 2, 26 * hop]:
        audio = Audio(samples=0.1 * noise(n), sample_rate_hz=mel.sample_rate_hz)
        pitch = pitch_hz(audio, mel)
        n_frames = log_mel(audio.samples, mel).shape[-1]

        assert pitch.f0_hz.shape == pitch.is_voiced.shape == (n_frames,)
        assert pitch.f0_hz.dtype == torch.float32


def test_pitch_is_measured_at_the_moment_of_its_frame():
    rising = torch.linspace(120, 320, 40000)  # 0.005 Hz per sample, 1.28 Hz per hop
    inside = slice(5, 145)

    for mel, later in ((mel_librosa(), 0), (hifigan_original(), 128)):
        moments = torch.arange(mel.frames_in(40000)) * 256 + later
        error_hz = pitch_hz(voice(rising), mel).f0_hz - rising[moments]
        assert error_hz[inside].mean().abs() < 0.15


def test_gaps_are_bridged_and_edges_held():
    curve = torch.cat(
        [torch.zeros(6000), torch.full((9000,), 150.0), torch.zeros(6000), torch.full((9000,), 250.0)]
    )

    pitch = pitch_hz(voice(curve), mel_librosa())

    assert not pitch.is_voiced[:15].any()
    assert not pitch.is_voiced[64:76].any()
    assert pitch.is_voiced[28:54].all()
    assert (pitch.f0_hz > 0).all()
    assert pitch.f0_hz[0] == pitch.f0_hz[pitch.is_voiced][0]
    in_gap = pitch.f0_hz[64:76]
    assert in_gap.diff().sub(in_gap.diff().mean()).abs().max() < 1e-2  # a straight line


def test_without_a_voice_everything_is_zero_and_unvoiced():
    quiet = Audio(samples=torch.zeros(4001), sample_rate_hz=22050)

    pitch = pitch_hz(quiet, mel_librosa())

    assert not pitch.is_voiced.any()
    assert pitch.f0_hz.eq(0).all()


def test_the_range_limits_what_is_found():
    low = voice(torch.full((16000,), 90.0))

    assert pitch_hz(low, mel_librosa()).is_voiced.float().mean() > 0.8
    found = pitch_hz(low, mel_librosa(), low_hz=150.0, high_hz=400.0)
    assert found.f0_hz[found.is_voiced].sub(90).abs().gt(20).all()


def test_another_sample_rate_is_refused():
    with pytest.raises(AudioError, match="expected a recording at 22050 Hz, found 16000 Hz"):
        pitch_hz(Audio(samples=noise(4000), sample_rate_hz=16000), mel_librosa())


def test_a_recording_too_short_for_the_spec_is_too_short_for_pitch():
    with pytest.raises(AudioError, match="too short"):
        pitch_hz(Audio(samples=noise(512), sample_rate_hz=22050), mel_librosa())


def test_pitch_equals_that_of_everyvoice(parity):
    stored = load_file(parity("features") / "io.safetensors")
    audio = Audio(samples=stored["wav"][0], sample_rate_hz=22050)

    cut = pitch_hz(audio, mel_librosa()).f0_hz
    whole = pitch_hz(audio, replace(mel_librosa(), drops_last_frame=False)).f0_hz

    torch.testing.assert_close(cut, stored["pitch"][:-1], atol=1e-3, rtol=0)
    torch.testing.assert_close(whole, stored["pitch"], atol=1e-3, rtol=0)


def test_pitch_of_real_speech_equals_what_everyvoice_stored(parity):
    folder = parity("everyvoice_project") / "project" / "preprocessed"
    stats = json.loads((folder / "stats.json").read_text())["pitch"]
    name = "LJ002-0035--speaker_0--eng"
    stored = torch.load(folder / "pitch" / f"{name}--pitch.pt", weights_only=True)

    made = pitch_hz(load_audio(folder / "audio" / f"{name}--audio-22050.wav"), mel_librosa()).f0_hz

    # Stored normalised, and with one value more than the spec has frames.
    torch.testing.assert_close(made, (stored * stats["std"] + stats["mean"])[:-1], atol=1e-2, rtol=0)

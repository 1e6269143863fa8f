import numpy as np
import pytest
import torch

from retimbre.audio.files import load_audio
from retimbre.audio.mel import mel_librosa
from retimbre.data.features import PrepareOptions, energy_of, pitch_of, prepared_audio, spec_of
from retimbre.errors import AudioError, DataError

MEL = mel_librosa()


def test_audio_is_whole_hops_at_the_wanted_peak_and_rate(record, recordings):
    record("a", rate_hz=48000, duration_s=0.777)
    audio = prepared_audio(recordings / "a.wav", MEL, PrepareOptions(peak=0.5)).audio
    assert audio.sample_rate_hz == 22050
    assert audio.n_samples % 256 == 0
    assert 0.777 * 22050 - 256 < audio.n_samples <= 0.777 * 22050 + 1
    assert float(audio.samples.abs().max()) == pytest.approx(0.5, abs=1e-3)


def test_without_a_peak_a_recording_stays_as_loud_as_it_is(record, recordings):
    record("a", rate_hz=22050, duration_s=0.777)
    recorded = load_audio(recordings / "a.wav").samples
    audio = prepared_audio(recordings / "a.wav", MEL, PrepareOptions(peak=None)).audio
    assert audio.n_samples == len(recorded) // 256 * 256
    assert torch.equal(audio.samples, recorded[: audio.n_samples])


def hard_clipped(share: float, rate_hz: int = 44100) -> np.ndarray:
    """A low tone in noise of which about `share` of the samples is cut off."""
    noise = np.random.default_rng(1).standard_normal(rate_hz)
    wave = np.convolve(noise, np.hanning(200), mode="same")
    limit = np.quantile(np.abs(wave), 1 - share)
    return 0.5 * wave.clip(-limit, limit) / limit


@pytest.mark.parametrize("share", [0.002, 0.006])
def test_a_little_clipping_is_measured_before_resampling(record, recordings, share):
    record("a", hard_clipped(share), rate_hz=44100)
    assert prepared_audio(recordings / "a.wav", MEL, PrepareOptions()).clipped_share == pytest.approx(
        share, rel=0.2
    )


def test_much_clipping_makes_a_recording_unusable(record, recordings):
    record("a", hard_clipped(0.05), rate_hz=44100)
    with pytest.raises(AudioError, match=r"more than 1% of it is clipped: found [45]\.\d%"):
        prepared_audio(recordings / "a.wav", MEL, PrepareOptions())


def test_features_have_one_value_per_frame(record, recordings):
    record("a", duration_s=0.61)
    audio = prepared_audio(recordings / "a.wav", MEL, PrepareOptions()).audio
    spec, pitch = spec_of(audio, MEL), pitch_of(audio, MEL, PrepareOptions())
    assert spec.shape == (80, audio.n_samples // 256)
    assert len(pitch.f0_hz) == len(energy_of(audio, MEL)) == spec.shape[1]
    torch.testing.assert_close(energy_of(audio, MEL), spec.norm(dim=0))
    assert float(pitch.f0_hz[pitch.is_voiced].median()) == pytest.approx(130, abs=4)


def test_prepared_audio_is_everyvoices_sample_by_sample(shared):
    """Its effects by the program SoX, whose dither remains; ours by the same words."""
    project = shared / "parity/everyvoice_project"
    cut = "silence 1 0.1 0.1%"
    options = PrepareOptions(effects=("channels 1", "norm -3.0", cut, "reverse", cut, "reverse"))
    files = sorted((project / "project/preprocessed/audio").glob("*.wav"))
    assert len(files) == 4
    for file in files:
        recording = project / "recordings/wavs" / f"{file.name.split('--')[0]}.wav"
        ours = prepared_audio(recording, MEL, options).audio.samples
        torch.testing.assert_close(ours, load_audio(file).samples, atol=1.5e-4, rtol=0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"min_duration_s": 5.0, "max_duration_s": 2.0},
        {"min_duration_s": 0.0},
        {"peak": 1.5},
        {"pitch_low_hz": 900.0},
    ],
)
def test_contradictory_options_are_refused(wrong):
    with pytest.raises(DataError):
        PrepareOptions(**wrong)

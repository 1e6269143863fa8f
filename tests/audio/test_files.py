"""Reading sound files: formats, channels, sample rates, and what is refused."""

import numpy as np
import pytest
import soundfile
import torch

from retimbre.audio.files import load_audio, load_part, probe, resample, save_audio
from retimbre.audio.waveform import Audio
from retimbre.errors import AudioError

RATE_HZ = 16000


def noise(*shape):
    return (0.2 * np.random.default_rng(sum(shape)).standard_normal(shape)).astype(np.float32)


def write(path, samples, **options):
    soundfile.write(path, samples, RATE_HZ, **options)
    return path


def tone(n, *, rate_hz, hz=440.0):
    return torch.sin(2 * torch.pi * hz * torch.arange(n, dtype=torch.float64) / rate_hz).float() * 0.5


def test_a_saved_file_is_read_back_and_saved_again_unchanged(tmp_path):
    save_audio(tmp_path / "a.wav", Audio(samples=torch.from_numpy(noise(1201)), sample_rate_hz=RATE_HZ))
    first = load_audio(tmp_path / "a.wav")
    save_audio(tmp_path / "b.wav", first)

    assert first.samples.dtype == torch.float32
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()
    assert torch.equal(load_audio(tmp_path / "b.wav").samples, first.samples)


@pytest.mark.parametrize(("ending", "tolerance"), [("flac", 1e-4), ("ogg", 0.2), ("mp3", 0.2)])
def test_other_formats_are_read(tmp_path, ending, tolerance):
    samples = tone(8000, rate_hz=RATE_HZ).numpy()
    path = write(tmp_path / f"a.{ending}", samples)

    audio = load_audio(str(path))

    assert audio.sample_rate_hz == RATE_HZ
    assert np.abs(audio.samples.numpy()[1000:7000] - samples[1000:7000]).max() < tolerance


def test_probe_tells_the_facts_of_a_file(tmp_path):
    facts = probe(write(tmp_path / "a.wav", noise(1201, 2)))

    assert (facts.sample_rate_hz, facts.n_channels, facts.n_samples) == (RATE_HZ, 2, 1201)
    assert facts.duration_s == pytest.approx(1201 / RATE_HZ)


@pytest.mark.parametrize(("start", "n_samples", "n_found"), [(0, 5, 5), (333, 400, 400), (1000, 400, 201)])
def test_a_part_of_a_file_is_that_part_of_the_whole(tmp_path, start, n_samples, n_found):
    path = write(tmp_path / "a.wav", noise(1201))
    part = load_part(path, start=start, n_samples=n_samples)

    assert len(part) == n_found
    assert torch.equal(part, load_audio(path).samples[start : start + n_samples])


def test_a_part_of_what_is_no_mono_file_is_refused(tmp_path):
    with pytest.raises(AudioError, match="expected one channel, found 2"):
        load_part(write(tmp_path / "a.wav", noise(100, 2)), start=0, n_samples=5)
    (tmp_path / "b.wav").write_bytes(b"no sound")
    with pytest.raises(AudioError, match="cannot be decoded"):
        load_part(tmp_path / "b.wav", start=0, n_samples=5)
    with pytest.raises(AudioError, match="cannot be read"):
        load_part(tmp_path / "c.wav", start=0, n_samples=5)


def test_two_channels_are_mixed_to_their_mean(tmp_path):
    channels = noise(1201, 2)
    path = write(tmp_path / "a.wav", channels, subtype="FLOAT")

    torch.testing.assert_close(load_audio(path).samples, torch.from_numpy(channels.mean(axis=1)))


def test_a_silent_second_channel_does_no_harm(tmp_path):
    channels = noise(1201, 2) * np.array([1, 0], dtype=np.float32)

    assert load_audio(write(tmp_path / "a.wav", channels)).samples.abs().max() > 0.1


def test_channels_that_cancel_each_other_are_refused(tmp_path):
    left = noise(1201)
    nearly_opposite = np.stack([left, -0.99 * left], axis=1)

    with pytest.raises(AudioError, match=r"two channels of .*a\.wav cancel each other.*Export one"):
        load_audio(write(tmp_path / "a.wav", nearly_opposite))


def test_two_silent_channels_do_not_cancel_each_other(tmp_path):
    path = write(tmp_path / "a.wav", np.zeros((100, 2), dtype=np.float32))

    assert load_audio(path).samples.eq(0).all()


def test_more_than_two_channels_are_refused(tmp_path):
    with pytest.raises(AudioError, match="expected one or two channels, found 3 channels"):
        load_audio(write(tmp_path / "a.wav", noise(300, 3)))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_samples_that_are_not_finite_are_refused(tmp_path, bad):
    samples = noise(300)
    samples[5] = bad

    with pytest.raises(AudioError, match=r"a\.wav cannot be used.*found 1 that are NaN or infinite"):
        load_audio(write(tmp_path / "a.wav", samples, subtype="FLOAT"))


def test_an_empty_file_is_refused(tmp_path):
    with pytest.raises(AudioError, match=r"a\.wav is empty"):
        load_audio(write(tmp_path / "a.wav", np.zeros(0, dtype=np.float32)))


@pytest.mark.parametrize("read", [load_audio, probe])
def test_what_is_not_sound_is_refused_in_one_line(tmp_path, read):
    (tmp_path / "a.wav").write_text("this is no sound")

    with pytest.raises(AudioError, match=r"a\.wav cannot be decoded: expected WAV") as caught:
        read(tmp_path / "a.wav")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("read", [load_audio, probe])
def test_a_missing_file_and_a_folder_are_told_apart(tmp_path, read):
    with pytest.raises(AudioError, match="found nothing of that name"):
        read(tmp_path / "a.wav")
    with pytest.raises(AudioError, match="found a folder"):
        read(tmp_path)


def test_a_file_that_breaks_off_is_refused(tmp_path):
    whole = write(tmp_path / "a.flac", noise(20000)).read_bytes()
    (tmp_path / "b.flac").write_bytes(whole[: len(whole) // 2])

    with pytest.raises(AudioError, match=r"b\.flac (cannot be decoded|ends too early)"):
        load_audio(tmp_path / "b.flac")


def test_a_file_that_is_shorter_than_its_head_says_is_refused(tmp_path, monkeypatch):
    path = write(tmp_path / "a.wav", noise(1000))
    read = soundfile.SoundFile.read
    monkeypatch.setattr(soundfile.SoundFile, "read", lambda file, **options: read(file, 500, **options))

    with pytest.raises(AudioError, match="ends too early: expected 1000 samples.*found 500"):
        load_audio(path)


@pytest.mark.parametrize("rate_hz", [8000, 22050, 24000])
def test_resampling_keeps_the_sound_and_its_duration(tmp_path, rate_hz):
    path = write(tmp_path / "a.wav", tone(8001, rate_hz=RATE_HZ).numpy(), subtype="FLOAT")

    made = load_audio(path, sample_rate_hz=rate_hz)

    assert made.sample_rate_hz == rate_hz
    assert made.samples.dtype == torch.float32
    assert made.duration_s == pytest.approx(8001 / RATE_HZ, abs=1.5 / rate_hz)
    inside = slice(rate_hz // 20, -rate_hz // 20)
    wanted = tone(made.n_samples, rate_hz=rate_hz)
    torch.testing.assert_close(made.samples[inside], wanted[inside], atol=1e-4, rtol=0)


def test_resampling_to_the_same_rate_changes_nothing():
    audio = Audio(samples=torch.from_numpy(noise(100)), sample_rate_hz=RATE_HZ)

    assert resample(audio, RATE_HZ) is audio


def test_a_single_sample_that_vanishes_is_an_audio_error():
    with pytest.raises(AudioError, match="too short to be resampled: found 1 samples"):
        resample(Audio(samples=torch.tensor([0.5]), sample_rate_hz=48000), 8000)

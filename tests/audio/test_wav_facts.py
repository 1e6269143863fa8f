"""Facts beside the sound: read back, and in nobody's way."""

import struct
import wave
from itertools import product

import numpy as np
import pytest
import soundfile
import torch

from retimbre.audio.files import load_audio, save_audio
from retimbre.audio.wav_facts import MOST_BYTES, SOFTWARE, facts_of
from retimbre.audio.waveform import Audio
from retimbre.errors import AudioError

FACTS = {
    "text": 'Grüße, "Welt" — 語\n',
    "seed": 7,
    "models": {"text-to-codes": "0" * 64},
    "steps": [1, 2.5, None],
}


def sound(n_samples=1201):
    generator = torch.Generator().manual_seed(n_samples)
    return Audio(samples=torch.randn(n_samples, generator=generator) * 0.2, sample_rate_hz=24_000)


@pytest.fixture
def plain(tmp_path):
    save_audio(tmp_path / "plain.wav", sound())
    return tmp_path / "plain.wav"


@pytest.mark.parametrize("n", [0, 1, 50_000])
def test_facts_are_read_back(tmp_path, n):
    facts = FACTS | {"long": "x" * n}
    save_audio(tmp_path / "a.wav", sound(), facts)
    assert facts_of(str(tmp_path / "a.wav")) == facts


@pytest.mark.parametrize("n_samples", [1, 2, 1201])
def test_the_sound_is_that_of_a_file_without_facts(tmp_path, n_samples):
    audio = sound(n_samples)
    save_audio(tmp_path / "plain.wav", audio)
    for n in range(4):  # even and odd lengths of the comment
        path = tmp_path / f"{n}.wav"
        save_audio(path, audio, {"a": "b" * n})

        samples, rate_hz = soundfile.read(path, dtype="int16")
        assert rate_hz == 24_000
        assert np.array_equal(samples, soundfile.read(tmp_path / "plain.wav", dtype="int16")[0])
        with wave.open(str(path)) as file:
            assert (file.getnchannels(), file.getsampwidth(), file.getnframes()) == (1, 2, n_samples)
            assert file.readframes(n_samples) == samples.tobytes()
        assert load_audio(path).samples.equal(load_audio(tmp_path / "plain.wav").samples)
        assert path.stat().st_size == 8 + struct.unpack("<I", path.read_bytes()[4:8])[0]
        assert path.stat().st_size % 2 == 0


def test_other_programs_show_them(tmp_path):
    save_audio(tmp_path / "a.wav", sound(), {"seed": 7})

    with soundfile.SoundFile(tmp_path / "a.wav") as file:
        assert file.comment == '{"seed": 7}'
        assert file.software == SOFTWARE


def test_facts_that_other_programs_wrote_are_found(tmp_path):
    """They put them before the sound."""
    with soundfile.SoundFile(tmp_path / "a.wav", "w", 24_000, 1) as file:
        file.title, file.comment = "odd", '{"seed": 8}'
        file.write(sound().samples.numpy())

    assert facts_of(tmp_path / "a.wav") == {"seed": 8}


def test_a_file_without_facts_has_none(plain, tmp_path):
    assert facts_of(plain) == {}
    soundfile.write(tmp_path / "a.flac", sound().samples.numpy(), 24_000)
    assert facts_of(tmp_path / "a.flac") == {}
    (tmp_path / "empty").touch()
    assert facts_of(tmp_path / "empty") == {}


def chunk(name, content):
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def listed(comment):
    return chunk(b"LIST", b"INFO" + chunk(b"ICMT", comment))


@pytest.mark.parametrize(
    "comment", [b"made by hand", b"[1, 2]", b"7", b"{", b"[" * 100_000, b"\xff\xfe", b""]
)
def test_a_comment_in_words_is_no_fact(tmp_path, comment):
    (tmp_path / "a.wav").write_bytes(chunk(b"RIFF", b"WAVE" + listed(comment)))
    assert facts_of(tmp_path / "a.wav") == {}


def test_what_stands_before_the_facts_is_passed_over(tmp_path):
    """Chunks of odd lengths too, and other lists."""
    before = chunk(b"odd ", b"123") + chunk(b"LIST", b"adtl" + chunk(b"ICMT", b'{"seed": 6}'))
    (tmp_path / "a.wav").write_bytes(chunk(b"RIFF", b"WAVE" + before + listed(b'{"seed": 7}')))
    assert facts_of(tmp_path / "a.wav") == {"seed": 7}


def test_a_list_without_end_is_not_read(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(b"RIFF\0\0\0\0WAVELIST" + struct.pack("<I", 2 * MOST_BYTES) + b"INFO")
    with path.open("r+b") as file:
        file.seek(20 + 2 * MOST_BYTES)
        file.write(listed(b'{"seed": 7}'))
    assert facts_of(path) == {"seed": 7}


def test_wrong_lengths_lead_nowhere(tmp_path):
    """Any of the lengths in the file may lie; what is found are the facts, or none."""
    save_audio(tmp_path / "a.wav", sound(5), {"seed": 7})
    content = (tmp_path / "a.wav").read_bytes()

    places = [at + 4 for name in (b"data", b"LIST", b"ISFT", b"ICMT") for at in [content.index(name)]]
    for place, length in product(places, (0, 1, 1 << 20, 0xFFFFFFFF)):
        lying = content[:place] + struct.pack("<I", length) + content[place + 4 :]
        (tmp_path / "b.wav").write_bytes(lying)
        assert facts_of(tmp_path / "b.wav") in ({}, {"seed": 7})
    for n in range(len(content)):
        (tmp_path / "b.wav").write_bytes(content[:n])
        assert facts_of(tmp_path / "b.wav") in ({}, {"seed": 7})


def test_a_file_that_is_not_there_is_said(tmp_path):
    with pytest.raises(AudioError, match="nowhere.wav cannot be read"):
        facts_of(tmp_path / "nowhere.wav")

"""A file that grows can be heard after each piece, and is the sound of all of them."""

import wave

import pytest
import soundfile
import torch

from retimbre.audio.growing import GrowingWav
from retimbre.audio.waveform import Audio
from retimbre.errors import AudioError


def pieces(*lengths):
    torch.manual_seed(len(lengths))
    return [torch.rand(n) * 3 - 1.5 for n in lengths]  # some lie beyond full scale


def test_it_is_whole_after_each_piece(tmp_path):
    path, wav, n_samples = tmp_path / "deep" / "sound.wav", None, 0
    wav = GrowingWav(path, 24000)

    for piece in pieces(5, 1, 700):
        wav.append(piece)
        n_samples += len(piece)
        with wave.open(str(path)) as file:
            assert (file.getnframes(), file.getframerate(), file.getnchannels()) == (n_samples, 24000, 1)
            assert len(file.readframes(n_samples)) == 2 * n_samples
    wav.close()

    assert soundfile.info(path).frames == n_samples


def test_it_holds_what_a_file_of_all_pieces_at_once_holds(tmp_path):
    wav, parts = GrowingWav(tmp_path / "grown.wav", 22050), pieces(9, 33)
    for piece in parts:
        wav.append(piece)
    wav.close()
    Audio(samples=torch.cat(parts), sample_rate_hz=22050).save(tmp_path / "whole.wav")

    assert (tmp_path / "grown.wav").read_bytes() == (tmp_path / "whole.wav").read_bytes()


def test_without_sound_there_is_no_file_and_an_older_one_stays(tmp_path):
    path = tmp_path / "sound.wav"
    path.write_bytes(b"older")

    GrowingWav(path, 24000).close()

    assert path.read_bytes() == b"older"


def test_what_is_no_sound_or_cannot_be_written_is_refused(tmp_path):
    with pytest.raises(AudioError, match="finite samples, found 1 of 2 that are NaN or infinite"):
        GrowingWav(tmp_path / "sound.wav", 24000).append(torch.tensor([0.1, float("nan")]))
    assert not (tmp_path / "sound.wav").exists()
    (tmp_path / "folder").mkdir()
    with pytest.raises(AudioError, match="folder cannot be written: found Is a directory"):
        GrowingWav(tmp_path / "folder", 24000).append(torch.zeros(3))

"""A voice is two checkpoints that fit each other; it speaks, or one sentence says why not."""

import pytest
import torch

from building.models import generator_config, save_text_to_spec, save_vocoder, text_to_spec_config
from retimbre.audio.mel import mel_librosa
from retimbre.audio.waveform import Audio
from retimbre.errors import CheckpointError, StagesDoNotFit, TextError
from retimbre.pipelines.pieces import pieces_of
from retimbre.pipelines.speaking import speak_pieces
from retimbre.pipelines.voice import load_voice
from retimbre.starter import find
from retimbre.text.normalise import TextRules

SYMBOLS = ("\x80", " ", "a", "b", "c")
N_MELS, HOP_SAMPLES = 5, 8


def save_speaker(path, *, speakers=("default",)):
    config = text_to_spec_config(
        len(SYMBOLS), n_mels=N_MELS, n_speakers=len(speakers) if len(speakers) > 1 else None
    )
    return save_text_to_spec(
        path,
        config,
        mel=mel_librosa(n_mels=N_MELS, hop_samples=HOP_SAMPLES),
        symbols=SYMBOLS,
        text_rules=TextRules(cleaners=("lower",)),
        speakers=speakers,
    )


def save_generator(path, *, n_mels=N_MELS):
    config = generator_config(
        n_mels=n_mels, upsample_rates=(4, 2), upsample_kernels=(8, 4), istft_n_fft_samples=None
    )
    mel = mel_librosa(n_mels=n_mels, hop_samples=HOP_SAMPLES)
    return save_vocoder(path, config, has_discriminators=False, mel=mel)


@pytest.fixture
def folder(tmp_path):
    save_speaker(tmp_path / "text_to_spec.safetensors")
    save_generator(tmp_path / "spec_to_wav.safetensors")
    (tmp_path / "notes.txt").write_text("not a checkpoint")
    return tmp_path


def test_a_folder_and_the_two_files_in_it_are_the_same_voice(folder):
    by_folder = load_voice(folder).speak("Ab c")
    by_name = load_voice(
        folder / "text_to_spec.safetensors", vocoder=folder / "spec_to_wav.safetensors"
    ).speak("Ab c")

    assert isinstance(by_folder, Audio)
    assert by_folder.n_samples > 0
    assert torch.equal(by_folder.samples, by_name.samples)


def test_the_length_of_speech_is_a_whole_number_of_frames(folder):
    voice = load_voice(str(folder))
    audio = voice.speak("abc")

    assert audio.n_samples % HOP_SAMPLES == 0
    assert audio.sample_rate_hz == voice.sample_rate_hz == 22050


def test_without_a_name_the_starter_voice_speaks(folder, monkeypatch):
    monkeypatch.setattr(find, "FOLDER", folder)

    assert torch.equal(load_voice().speak("abc").samples, load_voice(folder).speak("abc").samples)


def test_another_vocoder_may_take_the_place_of_the_one_in_the_folder(folder, tmp_path):
    (tmp_path / "other").mkdir()
    other = save_generator(tmp_path / "other" / "vocoder.safetensors")

    assert load_voice(folder, vocoder=other).chain.spec_to_wav.path == other


def test_speakers_are_known_by_name(tmp_path):
    save_speaker(tmp_path / "a.safetensors", speakers=("anna", "bert"))
    save_generator(tmp_path / "b.safetensors")
    voice = load_voice(tmp_path)

    assert voice.speakers == ("anna", "bert")
    assert voice.languages == ("default",)
    assert torch.equal(voice.speak("abc").samples, voice.speak("abc", speaker="anna").samples)
    with pytest.raises(TextError, match="no speaker 'carl'"):
        voice.speak("abc", speaker="carl")


def test_one_stage_alone_is_no_voice(folder):
    with pytest.raises(CheckpointError, match="one stage of a voice.*load_voice"):
        load_voice(folder / "text_to_spec.safetensors")


def test_a_folder_with_two_vocoders_does_not_say_which(folder):
    save_generator(folder / "another.safetensors")

    with pytest.raises(CheckpointError, match=r"another\.safetensors, spec_to_wav\.safetensors"):
        load_voice(folder)


def test_a_folder_without_a_text_to_spec_model_is_no_voice(tmp_path):
    save_generator(tmp_path / "a.safetensors")

    with pytest.raises(CheckpointError, match="which text-to-spec checkpoint to take"):
        load_voice(tmp_path)


def test_stages_of_different_spectrograms_are_refused_before_anything_is_spoken(folder):
    other = save_generator(folder / "wide.safetensors", n_mels=7)

    with pytest.raises(StagesDoNotFit, match="n_mels 5 against 7"):
        load_voice(folder / "text_to_spec.safetensors", vocoder=other)


def test_two_files_in_the_wrong_order_are_named(folder):
    with pytest.raises(StagesDoNotFit, match="a text-to-spec checkpoint"):
        load_voice(folder / "spec_to_wav.safetensors", vocoder=folder / "text_to_spec.safetensors")


def test_a_long_text_is_spoken_in_pieces(tmp_path):
    save_speaker(tmp_path / "tuned.safetensors")
    save_generator(tmp_path / "vocoder.safetensors")
    voice = load_voice(tmp_path)
    piece = "abc cba " * 12 + "abc abc"  # 103 letters; a space is lost where the pieces meet

    audio = voice.speak(f"{piece} {piece} {piece}")

    pieces = pieces_of(f"{piece} {piece} {piece}", voice.chain.text_to_spec)
    assert len(pieces) == 2
    n_frames = speak_pieces(pieces, voice.chain.text_to_spec).spec.shape[1]
    assert audio.n_samples == n_frames * HOP_SAMPLES

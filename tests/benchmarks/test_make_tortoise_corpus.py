"""The corpus of many voices: free sentences, balanced voices, one list, and one error for missing engines."""

import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from retimbre.audio.files import load_audio
from retimbre.data.manifest import read_filelist
from retimbre.errors import DataError

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
TEXTS = {  # an engine that hums; how long depends on the text, as in speech
    "kathleen": [f"The danger trail number {n} was not at this particular place." for n in range(12)],
    "non-english-mini": ["Er fährt über die Brücke nach Köln.", "Großmutter wünscht schöne Grüße."],
    "ljspeech-mini": ["Printing, in the only sense with which we are at present concerned."],
}
HUMMING = """#!{python} -IS
import array, math, sys, wave
words = sys.argv[1:]
text = open(words[words.index("-f") + 1], encoding="utf-8").read().strip()
period = array.array("h", [int(16000 * math.sin(2 * math.pi * n / 50)) for n in range(50)]).tobytes()
silence = bytes(8000)
with wave.open(words[words.index("-o") + 1], "wb") as out:
    out.setparams((1, 2, 8000, 0, "NONE", ""))
    out.writeframes(silence + period * (160 * len(text) // 14) + silence)
"""  # 160 Hz


@pytest.fixture
def corpus(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import make_tortoise_corpus

    for name, texts in TEXTS.items():
        wavs = tmp_path / "data" / name / "wavs"
        wavs.mkdir(parents=True)
        lines = []
        for number, text in enumerate(texts):
            hum = np.sin(np.arange(22050 * (2 + number % 3)) / 20) / 8
            sf.write(wavs / f"{name[:3]}{number}.flac", hum, 22050)
            lines.append(f"{name[:3]}{number}|{text}|{text}")
        (wavs.parent / "metadata.csv").write_text("\n".join(lines), encoding="utf-8")
    program = tmp_path / "bin" / "flite"
    program.parent.mkdir()
    program.write_text(HUMMING.format(python=sys.executable))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent))
    monkeypatch.setattr(make_tortoise_corpus, "DATA", tmp_path / "data")
    monkeypatch.setattr(make_tortoise_corpus, "N_GENERATED", 60)
    return make_tortoise_corpus


@pytest.fixture
def texts(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import tortoise_texts

    return tortoise_texts


def made(corpus, monkeypatch, folder, *words):
    monkeypatch.setattr(sys, "argv", ["make", str(folder), "--only", "flite", *words])
    corpus.main()
    return read_filelist(folder / "metadata.psv")


def test_every_voice_has_as_many_minutes_and_every_recording_is_usable(corpus, monkeypatch, tmp_path):
    found = made(corpus, monkeypatch, tmp_path / "corpus", "--minutes", "0.3")

    wavs = {path.stem: path for path in (tmp_path / "corpus" / "wavs").iterdir()}
    assert {one.basename for one in found} == set(wavs)
    synthetic = {voice.speaker for voice in corpus.VOICES if voice.engine == "flite"}
    assert {one.speaker for one in found} == synthetic | {"kathleen", "non-english-mini"}
    for speaker in synthetic:
        sounds = [load_audio(wavs[one.basename]) for one in found if one.speaker == speaker]
        assert 18 <= sum(sound.duration_s for sound in sounds) <= 18 + corpus.LONGEST_S
        assert {sound.sample_rate_hz for sound in sounds} == {22050}
        assert all(2 <= sound.duration_s <= 10 for sound in sounds)
        assert max(float(sound.samples.abs().max()) for sound in sounds) <= 0.951


def test_real_speech_is_linked_and_not_copied_and_a_share_has_the_usual_lengths(
    corpus, monkeypatch, tmp_path
):
    found = made(corpus, monkeypatch, tmp_path / "corpus", "--minutes", "0.2", "--real-minutes", "0.3")

    real = [one for one in found if one.speaker == "kathleen"]
    paths = [tmp_path / "corpus" / "wavs" / f"{one.basename}.flac" for one in real]
    assert all(path.is_symlink() for path in paths)
    lengths = [load_audio(path).duration_s for path in paths]
    assert 12 <= sum(lengths) <= 22
    assert 2.4 < np.mean(lengths) < 3.6  # of all: 3


def test_the_same_seed_makes_the_same_corpus_and_another_another(corpus, monkeypatch, tmp_path):
    once, again, other = (
        made(corpus, monkeypatch, tmp_path / name, "--minutes", "0.1", "--seed", seed)
        for name, seed in (("once", "1"), ("again", "1"), ("other", "2"))
    )
    assert once == again
    assert [one.text for one in once] != [one.text for one in other]
    sounds = [load_audio(tmp_path / name / "wavs" / "rms-0000.wav") for name in ("once", "again")]
    assert sounds[0].samples.equal(sounds[1].samples)


def test_all_missing_engines_are_named_in_one_error(corpus, monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "argv", ["make", str(tmp_path / "corpus")])
    with pytest.raises(DataError) as caught:
        corpus.main()
    assert "apt-get install espeak-ng" in caught.value.do
    assert "piper-tts" in caught.value.do
    assert "flite" in caught.value.found


def test_a_small_head_speaks_higher_and_sooner(corpus):
    voice = corpus.Voice(speaker="a", engine="flite", name="rms", size=1.25)
    command = corpus.engines_for({"flite"}, None)["flite"]
    (sound,) = corpus.spoken_by(voice, ["A sentence that is hummed by a small head."], command)
    spectrum = np.abs(np.fft.rfft(sound.samples.numpy()))
    assert spectrum.argmax() * 22050 / sound.n_samples == pytest.approx(1.25 * 160, rel=0.01)


@pytest.mark.parametrize("language", ["en", "de"])
def test_sentences_differ_and_have_the_asked_lengths(texts, language):
    found = texts.generated(language, 300, seed=3)
    assert len(set(found)) == 300
    assert all(28 <= len(text) <= 140 for text in found)
    assert found == texts.generated(language, 300, seed=3)
    assert found != texts.generated(language, 300, seed=4)


def test_no_sentence_holds_four_words_in_a_row_of_the_unseen_speaker(texts):
    free = texts.generated("en", 200, seed=5)
    avoided = free[7].upper().replace(" ", ", ")
    found = texts.generated("en", 200, seed=5, avoided=[avoided])
    assert free[7] not in found
    assert not any(texts.runs_of_words(text) & texts.runs_of_words(avoided) for text in found)


def test_german_is_written_with_letters_that_english_pieces_know(texts):
    assert texts.plain_letters("Größe ÜBER Öl, Ähre: süß") == "Groesse UeBER Oel, Aehre: suess"


def test_real_and_made_texts_take_turns_and_none_comes_twice(texts):
    real, made_up = [f"real {n}" for n in range(4)], [f"made {n}" for n in range(9)] + ["real 2"]
    found = texts.mixed(real, made_up, seed="a")
    assert sorted(found) == sorted(set(real + made_up))
    assert sum(text.startswith("real") for text in found[:6]) >= 3
    assert found != texts.mixed(real, made_up, seed="b")

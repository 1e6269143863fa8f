"""Free-running speech is measured by what needs no common timing, with the scorers that are there."""

import math

import pytest
import torch

from retimbre.audio.waveform import Audio
from retimbre.evaluate import free_running
from retimbre.evaluate.free_running import FreeRunningJudge, free_running_judge
from retimbre.evaluate.measures import FREE_RUNNING_MEASURES
from retimbre.evaluate.speaker import SpeakerEncoder, embedding, voice_of


@pytest.fixture
def encoder():
    """With random weights."""
    torch.manual_seed(5)
    return SpeakerEncoder().eval()


@pytest.fixture
def has(monkeypatch, encoder):
    """What is installed: has("a b c") is a recogniser that hears this, has(None) is none."""

    def install(heard, *, has_encoder=True):
        monkeypatch.setattr(free_running, "has_recogniser", lambda: heard is not None)
        monkeypatch.setattr(free_running, "load_recogniser", lambda: lambda audio: heard)
        monkeypatch.setattr(free_running, "has_speaker_encoder", lambda: has_encoder)
        monkeypatch.setattr(free_running, "load_speaker_encoder", lambda: encoder)

    return install


def test_words_and_speaker_are_measured_where_their_scorers_are(voice, has, encoder):
    has("one two four")
    known, other = [voice(seed=1), voice(seed=2)], voice(f0_hz=210.0, n_samples=20_001)
    judge = free_running_judge(known, [(voice(), "One, two three.")])
    found = judge.of_speech(voice(), other, "One, two three.")

    assert judge.measures == FREE_RUNNING_MEASURES
    assert judge.missing == ()
    assert found["word_errors"] == pytest.approx(100 / 3)
    expected = float(voice_of(encoder, known) @ embedding(encoder, other))
    assert found["speaker_similarity"] == pytest.approx(expected)
    assert found["mcd"] > 0


def test_what_is_not_installed_is_named_and_the_rest_is_measured(voice, has):
    has(None, has_encoder=False)
    judge = free_running_judge([voice()], [(voice(), "one two")])

    assert set(judge.of_speech(voice(), voice(n_samples=20_001), "one two")) == {"mcd"}
    assert [missing.name for missing in judge.missing] == ["word error rate", "speaker similarity"]
    assert all("pip install" in missing.reason for missing in judge.missing)


def test_a_recogniser_that_does_not_know_the_language_is_not_asked(voice, has):
    has("fear and hope")
    judge = free_running_judge([voice()], [(voice(), "Vier neue Hütten"), (voice(seed=3), "sind hier")])

    assert judge.recognise is None
    (missing,) = judge.missing
    assert "mishears 125 % of the words" in missing.reason


def test_a_list_of_phones_has_no_words_to_recognise(voice, has):
    has("one")
    (missing,) = free_running_judge([voice()], [(voice(), "")]).missing
    assert missing.reason == "the list has no words"


def test_silence_and_a_text_without_words_have_no_value(voice, has, encoder):
    has("one")
    judge = free_running_judge([voice()], [(voice(), "one")])
    silent = Audio(samples=torch.zeros(17_321), sample_rate_hz=22_050)

    found = judge.of_speech(voice(), silent, "...")

    assert math.isnan(found["word_errors"])
    assert math.isnan(found["speaker_similarity"])


def test_with_no_scorer_recordings_have_no_value():
    assert FreeRunningJudge().of_recording(Audio(samples=torch.randn(99), sample_rate_hz=22_050), "a") == {}

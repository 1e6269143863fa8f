"""Every system is measured on the same held-out sentences, without the constant delay of its vocoder."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from retimbre.audio.waveform import Audio
from retimbre.evaluate.free_running import FreeRunningJudge
from retimbre.evaluate.measures import MCD, WORD_ERRORS, Missing
from retimbre.jobs.listener import Silent
from retimbre.matching import judge
from retimbre.matching.judge import Contestant, compare, delay_of
from retimbre.pipelines.delay import advanced
from retimbre.report.contents import Kind, System

REAL = System(name="real", description="The recordings.")


@pytest.fixture
def contestant(vocoder):
    """A system whose models are only played: contestant("a")."""

    def make(name):
        loaded = replace(vocoder, path=Path(f"{name}.safetensors"))
        return Contestant(system=System(name=name, description=name), text_to_spec=loaded, vocoder=loaded)

    return make


@pytest.fixture
def play(material, monkeypatch):
    """Systems that answer with the recording itself, late and louder: play(a=(200, 1.0))."""

    def patch(**answers):
        by_frames = {material.n_frames(u): u for u in material.held_out}

        def forced(utterances, store, loaded, **_):
            return [(u, store.load_spec(u, material.mel)) for u in utterances]

        def vocode(spec, loaded):
            late, gain = answers[loaded.path.stem]
            recording = material.store.load_audio(by_frames[spec.shape[1]], material.mel)
            moved = advanced(recording, -late)
            return Audio(samples=gain * moved.samples, sample_rate_hz=moved.sample_rate_hz)

        monkeypatch.setattr(judge, "teacher_forced_specs", forced)
        monkeypatch.setattr(judge, "vocode", vocode)
        monkeypatch.setattr(judge, "_spec_of", lambda u, loaded: material.store.load_spec(u, material.mel))
        monkeypatch.setattr(judge, "free_running_judge", lambda heard, held_out: FreeRunningJudge())

    return patch


def mcd_of(comparison, name):
    (measure,) = [m for m in comparison.scores.measures if m.key == "mcd"]
    return comparison.scores.mean(measure, name)


@pytest.mark.parametrize("late", [100, 300, -200])
def test_a_constant_delay_is_found_and_taken_out(material, contestant, play, late):
    play(late=(late, 1.0), exact=(0, 1.0))

    comparison = compare(material, REAL, [contestant("exact"), contestant("late")], listener=Silent())

    assert comparison.delays_samples == {"exact": 0, "late": late}
    assert mcd_of(comparison, "exact") == pytest.approx(0, abs=1e-6)
    assert mcd_of(comparison, "late") < 0.3


def test_a_delay_too_small_to_matter_stays(material, contestant, play):
    play(a=(40, 1.0))

    comparison = compare(material, REAL, [contestant("a")], listener=Silent())

    assert comparison.delays_samples == {"a": 0}
    assert delay_of(contestant("a").vocoder, material).n_samples == 40


def test_every_held_out_sentence_is_measured_and_can_be_listened_to(material, contestant, play):
    play(a=(0, 0.5), b=(0, 1.0))

    comparison = compare(material, REAL, [contestant("a"), contestant("b")], listener=Silent())

    assert comparison.scores.systems == ("a", "b")
    forced = [spoken for spoken in comparison.spoken if spoken.kind is Kind.TEACHER_FORCED]
    assert [spoken.name for spoken in forced] == ["u3", "u4", "u5"]
    for spoken in forced:
        assert list(spoken.audio) == ["real", "a", "b"]
        torch.testing.assert_close(spoken.audio["a"].samples, 0.5 * spoken.audio["real"].samples)
    free = [spoken for spoken in comparison.spoken if spoken.kind is Kind.FREE_RUNNING]
    assert [list(spoken.audio) for spoken in free] == [["real", "a", "b"]] * 3


def test_what_a_file_would_clip_is_turned_down_for_listening_only(material, contestant, play):
    play(loud=(0, 3.0))

    comparison = compare(material, REAL, [contestant("loud")], listener=Silent())

    peaks = [float(s.audio["loud"].samples.abs().max()) for s in comparison.spoken if s.audio]
    assert all(peak == pytest.approx(0.98, abs=1e-3) for peak in peaks)


def test_free_running_speech_is_measured_apart_and_the_recordings_beside_it(
    material, contestant, play, monkeypatch
):
    play(a=(0, 1.0), b=(0, 0.001))
    missing = Missing(name="speaker similarity", reason="it is not here")

    def hears(audio):
        """What is soft is not understood."""
        return "text" if float(audio.samples.abs().max()) > 0.01 else ""

    def judge_of(heard, held_out):
        assert [audio.n_samples for audio in heard] == [
            material.store.load_audio(u, material.mel).n_samples for u in material.training
        ]
        assert [text for _, text in held_out] == ["text 3", "text 4", "text 5"]
        return FreeRunningJudge(recognise=hears, missing=(missing,))

    monkeypatch.setattr(judge, "free_running_judge", judge_of)
    comparison = compare(material, REAL, [contestant("a"), contestant("b")], listener=Silent())
    found = comparison.free_scores

    assert found.systems == ("real", "a", "b")
    assert [measure.key for measure in found.measures] == ["mcd", "word_errors"]
    assert [found.mean(WORD_ERRORS, name) for name in found.systems] == [50.0, 50.0, 100.0]  # of "text 3"
    assert math.isnan(found.mean(MCD, "real"))
    assert found.mean(MCD, "a") == pytest.approx(0, abs=1e-6)
    assert missing in comparison.missing

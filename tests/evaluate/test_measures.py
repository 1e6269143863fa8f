"""Every measure says what it means, and all of them come from one call."""

import math

import pytest

from retimbre.audio.mel import mel_librosa
from retimbre.errors import DataError
from retimbre.evaluate import measures
from retimbre.evaluate.measures import MCD, MEASURES, PERCEPTUAL, PESQ, available_measures, measured
from retimbre.evaluate.perceptual import perceptual_score
from retimbre.evaluate.spectral import mel_cepstral_distortion


def test_each_measure_says_what_it_means_and_what_it_does_not_tell():
    assert len({measure.key for measure in MEASURES}) == len(MEASURES)
    for measure in MEASURES:
        assert measure.unit
        assert measure.definition.endswith(".")
        assert measure.blind_spot.endswith(".")


def test_one_call_gives_every_available_measure(voice):
    reference, candidate = voice(), voice(f0_hz=150.0)
    found = measured(reference, candidate, mel_librosa())
    assert set(found) == {measure.key for measure in available_measures()}
    assert found[MCD.key] == mel_cepstral_distortion(reference, candidate)
    assert found[PERCEPTUAL.key] == pytest.approx(perceptual_score(reference, candidate))


def test_a_missing_scorer_is_named_with_its_remedy(monkeypatch):
    monkeypatch.setattr(measures, "has_pesq", lambda: False)
    assert PESQ not in available_measures()
    (missing,) = measures.missing_measures()
    assert missing.name == PESQ.name
    assert "pip install" in missing.reason


def test_an_utterance_that_pesq_cannot_rate_has_no_value(voice, monkeypatch):
    def refuse(reference, candidate):
        raise DataError("no speech")

    monkeypatch.setattr(measures, "has_pesq", lambda: True)
    monkeypatch.setattr(measures, "pesq_score", refuse)
    assert math.isnan(measured(voice(), voice(), mel_librosa())[PESQ.key])


def test_free_running_speech_has_a_distortion_after_warping(voice):
    assert set(measures.measured_free_running(voice(), voice(n_samples=20_001))) == {MCD.key}

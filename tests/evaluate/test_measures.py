"""Every measure says what it means, and all of them come from one call."""

import math

import pytest

from retimbre.audio.mel import mel_librosa
from retimbre.errors import DataError
from retimbre.evaluate import measures
from retimbre.evaluate.measures import MCD, MEASURES, PERCEPTUAL, PESQ, STOI, available_measures, measured
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


@pytest.mark.parametrize(("has", "measure"), [("has_pesq", PESQ), ("has_stoi", STOI)])
def test_a_missing_scorer_is_named_with_its_remedy(has, measure, monkeypatch):
    monkeypatch.setattr(measures, "has_pesq", lambda: True)
    monkeypatch.setattr(measures, "has_stoi", lambda: True)
    monkeypatch.setattr(measures, has, lambda: False)
    assert set(MEASURES) - set(available_measures()) == {measure}
    (missing,) = measures.missing_measures()
    assert missing.name == measure.name
    assert "pip install" in missing.reason


@pytest.mark.parametrize(("name", "measure"), [("pesq", PESQ), ("stoi", STOI)])
def test_an_utterance_that_a_scorer_cannot_rate_has_no_value(name, measure, voice, monkeypatch):
    def refuse(reference, candidate):
        raise DataError("no speech")

    monkeypatch.setattr(measures, f"has_{name}", lambda: True)
    monkeypatch.setattr(measures, f"{name}_score", refuse)
    assert math.isnan(measured(voice(), voice(), mel_librosa())[measure.key])

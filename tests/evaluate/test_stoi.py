"""STOI is optional."""

import sys

import pytest

from retimbre.errors import DataError, MissingExtra
from retimbre.evaluate.stoi import stoi_score


def test_without_the_package_the_error_says_what_to_install(voice, monkeypatch):
    monkeypatch.setitem(sys.modules, "pystoi", None)
    with pytest.raises(MissingExtra, match=r"retimbre\[evaluate\]"):
        stoi_score(voice(), voice())


def test_the_same_sound_scores_one_and_noise_lowers_it(voice, hissed):
    pytest.importorskip("pystoi")
    clean = voice(n_samples=44_100)
    assert stoi_score(clean, clean) == pytest.approx(1.0, abs=1e-6)
    assert stoi_score(clean, hissed(clean, 0.3)) < stoi_score(clean, hissed(clean, 0.05)) < 1.0


def test_too_little_speech_is_an_error_and_not_a_score(voice):
    pytest.importorskip("pystoi")
    with pytest.raises(DataError, match="STOI cannot rate"):
        stoi_score(voice(n_samples=4001), voice(n_samples=4001))

"""PESQ is optional."""

import sys

import pytest

from retimbre.errors import MissingExtra
from retimbre.evaluate import quality


def test_without_the_package_the_error_says_what_to_install(voice, monkeypatch):
    monkeypatch.setitem(sys.modules, "pesq", None)
    with pytest.raises(MissingExtra, match=r"retimbre\[evaluate\]"):
        quality.pesq_score(voice(), voice())


def test_with_the_package_the_same_sound_scores_high(voice):
    pytest.importorskip("pesq")
    assert quality.pesq_score(voice(n_samples=44_100), voice(n_samples=44_100)) > 4

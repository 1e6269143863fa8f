"""The page to read along has everything in it, fetches nothing, and cannot be broken by a text."""

import base64
import re
from html.parser import HTMLParser

from retimbre.audio.mel import mel_librosa
from retimbre.pipelines.readalong import readalong_xml
from retimbre.pipelines.readalong_page import readalong_html
from retimbre.pipelines.timing import Span, Times

WAV = bytes(range(256)) * 3


class Page(HTMLParser):
    """Collects tags with their attributes, and the text of words."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.words, self._is_word = [], [], False
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if dict(attrs).get("class") == "word":
            self.words.append("")
            self._is_word = True

    def handle_endtag(self, tag):
        self._is_word = self._is_word and tag != "span"

    def handle_data(self, data):
        if self._is_word:
            self.words[-1] += data


def page(*words):
    spans = tuple(Span(start=2 * n, end=2 * n + 2, label=word) for n, word in enumerate(words))
    times = Times(symbols=spans, words=spans, n_frames=2 * len(spans))
    return times, readalong_html(times, mel_librosa(), language="eng", wav=WAV)


def test_sound_and_words_lie_in_the_page_as_in_everyvoices():
    times, html = page("a", "b")

    (element,) = [attrs for tag, attrs in Page(html).tags if tag == "read-along"]
    kind, content = element["audio"].split(";base64,")
    assert (kind, base64.b64decode(content)) == ("data:audio/wav", WAV)
    kind, content = element["href"].split(";base64,")
    assert kind == "data:application/readalong+xml"
    assert base64.b64decode(content).decode() == readalong_xml(times, mel_librosa(), language="eng")


def test_the_page_fetches_nothing():
    _, html = page("a")

    assert not re.search(r"https?:|//[a-z]+\\.|@import|url\(", html)
    assert "default-src 'none'" in html
    assert not [attrs for _, attrs in Page(html).tags if "src" in attrs]


def test_each_word_is_a_button_that_knows_when_it_is_spoken():
    _, html = page("a", "b")

    words = [attrs for _, attrs in Page(html).tags if attrs.get("class") == "word"]
    assert [word["data-start"] for word in words] == ["0.000000", "0.023220"]
    assert all(word["role"] == "button" and word["tabindex"] == "0" for word in words)


def test_a_text_cannot_break_the_page():
    nasty = ("</script><script>alert(1)</script>", '"onclick="x', "<b>&amp;")
    _, html = page(*nasty)

    assert Page(html).words == list(nasty)
    assert [tag for tag, _ in Page(html).tags].count("script") == 1
    assert "<b>" not in html


def test_a_long_text_has_a_short_title():
    _, html = page(*["word"] * 40)

    (title,) = re.findall("<title>(.*)</title>", html)
    assert len(title) < 65
    assert title.endswith(" …")

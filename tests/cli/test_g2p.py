"""Phones of texts, one list per line."""

import io
import sys

import pytest


@pytest.fixture
def say(retimbre, monkeypatch):
    """`retimbre g2p WORDS` with a text on stdin."""

    def call(text, *words):
        stdin = io.TextIOWrapper(io.BytesIO(text if isinstance(text, bytes) else text.encode()))
        monkeypatch.setattr(sys, "stdin", stdin)
        return retimbre("g2p", *words)

    return call


def test_each_line_becomes_a_list_of_symbols_as_in_everyvoice(say):
    ended = say("Hello, world!\n\nplain text\n", "eng")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.splitlines() == [
        "['h', 'ʌ', 'l', 'o', 'ʊ', ',', ' ', 'w', 'ɜ˞', 'l', 'd', '!']",
        "[]",
        "['p', 'l', 'e', 'ɪ', 'n', ' ', 't', 'ɛ', 'k', 's', 't']",
    ]


def test_a_file_says_the_same_as_stdin(say, tmp_path):
    (tmp_path / "texts.txt").write_text("Größe\n", encoding="utf-8")
    assert (
        say("", "deu", tmp_path / "texts.txt").out
        == say("Größe\n", "deu").out
        == say("Größe", "deu", "-").out
    )


def test_a_language_without_rules_is_told_which_there_are(say):
    assert "no phones for the language 'xx': expected one of alq, " in say("", "xx").error


def test_what_cannot_be_said_is_told(say):
    assert "nothing is said for ☃" in say("a ☃\n", "eng").err


def test_text_that_is_not_utf8_is_one_line(say):
    assert "stdin is not UTF-8" in say(b"\xff\xfe", "eng").error


def test_an_engine_of_the_users_own_is_refused_and_never_run(say, tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text("open('owned', 'w')\ndef say(text): return [text]\n")
    (tmp_path / "text.yaml").write_text("g2p_engines:\n  eng: mine.say\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    error = say("a\n", "eng", "--config", tmp_path / "text.yaml").error
    assert "text.yaml, line 2: 'mine.say'" in error
    assert say("a\n", "deu", "--config", tmp_path / "text.yaml").code == 0
    assert not (tmp_path / "owned").exists()


def test_a_file_that_is_not_there_is_named(say, tmp_path):
    assert "missing.txt: No such file" in say("", "eng", tmp_path / "missing.txt").error

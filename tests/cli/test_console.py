"""A terminal gets one moving line; a log file gets few plain ones."""

import io
import sys

from retimbre.cli.console import Console


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self):
        return True


def test_facts_stand_in_two_columns_on_stderr(capsys):
    console = Console()
    console.say("Data", "8 utterances")
    console.say("Produced specs", "a label as long as its column")

    said = capsys.readouterr()
    assert said.err == "Data          8 utterances\nProduced specs a label as long as its column\n"
    assert said.out == ""


def test_a_log_gets_the_end_of_a_task_but_not_every_step(capsys):
    console = Console()
    console.progress("Before", 1, 2)
    capsys.readouterr()
    for done in range(1, 200):
        console.progress("Training", done, 200, "mel 0.3")
    assert capsys.readouterr().err == ""

    console.progress("Training", 200, 200, "mel 0.3")

    last = capsys.readouterr().err
    assert last.startswith("Training ")
    assert last.count("\n") == 1
    for expected in ("200 / 200", "mel 0.3", "in 0 s"):
        assert expected in last


def test_a_terminal_gets_a_line_that_a_fact_removes_first(monkeypatch):
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    console = Console()
    console.progress("Training", 1, 3)
    assert not stream.getvalue().endswith("\n")

    console.say("Stopping", "after this step")

    lines = stream.getvalue().split("\r")
    assert lines[-1] == "Stopping      after this step\n"
    assert lines[-2].strip() == ""


def test_progress_tells_what_is_left(monkeypatch, capsys):
    now = [1000.0]
    monkeypatch.setattr("retimbre.cli.console.time.monotonic", lambda: now[0])
    console = Console()
    console.progress("Training", 0, 100)
    now[0] += 40.0
    console.progress("Training", 10, 100)

    assert "6 min left" in capsys.readouterr().err.splitlines()[-1]


def test_a_task_without_items_is_done_at_once(capsys):
    Console().progress("Preparing", 0, 0)

    assert "0 / 0" in capsys.readouterr().err

"""Our errors, and those of the disk, become one line; other exceptions stay what they are: bugs."""

import errno
import sys

import pytest

from retimbre import __version__
from retimbre.cli import main
from retimbre.errors import DataError


@pytest.fixture
def ends_with(retimbre, monkeypatch):
    """How the program ends if a command raises this."""

    def run(error):
        def raise_it():
            raise error

        monkeypatch.setattr(main, "app", raise_it)
        return retimbre("x")

    return run


def test_an_error_of_ours_is_one_line_even_where_a_name_in_it_has_several(ends_with):
    error = DataError("'a\n  b'\tcannot be used", expected="one line", found="two\r\nlines", do="rename it")

    assert (
        ends_with(error).error == "error: 'a b' cannot be used: expected one line, found two lines. Rename it"
    )


def test_an_error_of_the_disk_names_the_place_and_what_to_look_at(ends_with):
    error = PermissionError(errno.EACCES, "Permission denied", "/somewhere/else")

    assert ends_with(error).error == (
        "error: /somewhere/else: Permission denied. Check the path, its permissions and the space on the disk"
    )
    assert ends_with(OSError("the device is gone")).error.startswith("error: the device is gone. Check")


def test_a_bug_stays_a_traceback(ends_with):
    with pytest.raises(KeyError):
        ends_with(KeyError("a bug"))


def test_an_interruption_ends_with_130(ends_with):
    assert ends_with(KeyboardInterrupt()).code == 130


def test_the_version_is_told_on_stdout(retimbre):
    ended = retimbre("--version")

    assert (ended.code, ended.out, ended.err) == (0, f"retimbre {__version__}\n", "")


def test_every_command_has_help(retimbre):
    commands = ("quickstart", "preprocess", "train", "synthesize from-text", "synthesize from-spec", "match")
    for command in (*commands, "inspect"):
        ended = retimbre(*command.split(), "--help")
        assert ended.code == 0
        assert "Usage" in ended.out


def test_the_program_leaves_the_arguments_as_they_were(retimbre):
    before = sys.argv
    retimbre("--version")
    assert sys.argv is before

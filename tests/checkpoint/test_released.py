"""The table of released files contradicts neither itself nor its page, and a misspelt name is answered."""

import re
from pathlib import Path

import pytest

from retimbre.checkpoint.released import RELEASED, chosen
from retimbre.errors import FetchError

PAGE = Path(__file__).resolve().parents[2] / "docs" / "released-files.md"


def test_names_and_places_are_distinct():
    for collection in ("tortoise", "hifigan"):
        files = chosen(collection)
        assert len({file.name for file in files}) == len({file.local_name for file in files}) == len(files)


def test_every_file_has_a_plain_name():
    for file in RELEASED:
        assert re.fullmatch(r"[a-z0-9][\w.]*", file.local_name), file
        assert re.fullmatch(r"[\w-]+/[\w.-]+", file.repository), file
        assert re.fullmatch(r"main|[0-9a-f]{40}", file.revision), file


def test_only_the_three_published_checksums_are_known():
    known = {file.name: file.sha256 for file in RELEASED if file.sha256}

    assert known == {
        "dvae": "a990825371506c16bcf0e8167bf24ccf82f65bb6a1dbcbfcf058d76f9b197e35",
        "tokenizer": "d1fa6e9b4741bb75b284331b833347c166ba8b0518e187f7370f123149ed87bb",
        "mel_norms": "1f69422a8a8f344c4fca2f0c6b8d41d2151d6615b7321e48e6bb15ae949b119c",
    }


def test_a_file_is_chosen_by_its_name_or_by_that_of_the_file_in_the_order_of_the_table():
    assert [file.name for file in chosen("tortoise", ("vocoder.pth", "dvae", "dvae.pth"))] == [
        "dvae",
        "vocoder",
    ]
    assert len(chosen("tortoise")) == 12


@pytest.mark.parametrize(
    ("words", "near"),
    [(("tortose",), "tortoise"), (("hifi-gan",), "hifigan"), (("tortoise", "dvea"), "dvae")],
)
def test_the_nearest_name_is_offered(words, near):
    collection, *names = words
    with pytest.raises(FetchError, match=rf"Did you mean {near}\?"):
        chosen(collection, names)


def test_a_name_like_no_other_leads_to_the_list():
    with pytest.raises(FetchError, match="See 'retimbre fetch --list'"):
        chosen("qqqqqqq")


def test_the_page_says_of_each_file_what_the_table_says():
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]

    assert rows == [row(file) for file in RELEASED]


def row(file):
    """A line of the page's table."""
    checksum = f"`{file.sha256}`" if file.sha256 else "not known"
    place = f"`{file.repository}` | `{file.path}` | `{file.revision}`"
    facts = f"{file.what} | {file.family or ''} | {file.size or 'not known'}"
    return f"| `{file.name}` | {facts} | {place} | {checksum} |"

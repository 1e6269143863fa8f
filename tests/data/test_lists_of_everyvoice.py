"""Lists are read as everyvoice 0.5.0's own loaders read them; where not, the difference is named."""

import json
from pathlib import Path

import pytest

from retimbre.data.manifest import read_filelist
from retimbre.recipe.everyvoice_names import FILELIST_LOADERS, UTILS

LISTS = json.loads((Path(__file__).parents[1] / "fixtures/everyvoice/lists.json").read_text(encoding="utf-8"))
LOADERS = {
    "psv": "generic_psv_filelist_reader",
    "csv": "generic_csv_filelist_reader",
    "festival": "read_festival",
    "sniff": "sniff_and_return_filelist_data",
}
DIFFERENT = {  # (list, loader) -> what is read here, and why
    # Whatever follows the last point is an ending for EveryVoice; only those of sound files are here.
    ("dots.psv", "psv"): [("a.b", "x"), ("c", "y"), ("no. 5", "z")],
    # Its loader for any form keeps endings, and then looks for a.b.wav.wav.
    ("dots.psv", "sniff"): [("a.b", "x"), ("c", "y"), ("no. 5", "z")],
    # It takes quotes for CSV's in any list, and backslashes for letters.
    ("plainquotes.psv", "sniff"): [("a", 'He said "no".'), ("b", '"no", he said')],
    ("backslash.psv", "sniff"): [("a", "one\\two n")],
    # Its loader for csv knows no quotes around cells: they stay, and a comma in them ends the cell.
    ("pipesquoted.csv", "csv"): [("a", "One | two"), ("b", "three")],
    # Its loader for any form takes a quoted word for a quoted cell.
    ("quotedword.csv", "sniff"): [("a", '"Quoted" it is'), ("b", "plain")],
}
CASES = [(name, loader) for name, one in LISTS.items() for loader in LOADERS if loader in one]


def read(tmp_path, name, loader):
    path = tmp_path / name
    path.write_bytes(LISTS[name]["content"].encode())
    return read_filelist(path, format=FILELIST_LOADERS.known[UTILS + LOADERS[loader]])


@pytest.mark.parametrize(("name", "loader"), [case for case in CASES if case not in DIFFERENT])
def test_a_list_is_read_as_everyvoice_reads_it(tmp_path, name, loader):
    theirs = LISTS[name][loader]

    ours = read(tmp_path, name, loader)

    for utterance, row in zip(ours, theirs, strict=True):
        assert utterance.basename == row["basename"]
        assert utterance.text == row.get("characters", row.get("text"))
        assert (utterance.phones or "") == row.get("phones", "")
        for key in ("speaker", "language"):
            assert getattr(utterance, key) == (row.get(key) or "default")


@pytest.mark.parametrize(("name", "loader"), DIFFERENT)
def test_where_a_list_is_read_otherwise_it_is_on_purpose(tmp_path, name, loader):
    ours = [(one.basename, one.text) for one in read(tmp_path, name, loader)]
    theirs = [(row["basename"], row.get("characters", row.get("text"))) for row in LISTS[name][loader]]

    assert ours == DIFFERENT[name, loader]
    assert ours != theirs


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("comma.csv", 'basename,characters\na,"One, two"\nb,"say ""x"""\n', ["One, two", 'say "x"']),
        ("escaped.csv", 'basename,characters\na,One\\, two\nb,say \\"x\\"\n', ["One, two", 'say "x"']),
        ("lines.csv", 'basename,characters\na,"one\ntwo"\nb,three\n', ["one\ntwo", "three"]),
        ("bom.csv", "\ufeffbasename;characters\r\na;grüße\r\n", ["grüße"]),
        ("bom.psv", "\ufeffbasename|characters\r\na|ሰላም\r\n", ["ሰላም"]),
        ("nameless.psv", 'a|say \\"x\\" \\| y\r\nb|it is|it\'s\r\n', ['say "x" | y', "it's"]),
        ("metadata.csv", "a|One, two|one, two\nb|Three|\n", ["one, two", "Three"]),
        ("spaces.psv", "basename | characters\na | one \n", ["one"]),
        ("festival.data", '( a "One" )\n(b-c "two" )\n', ["One", "two"]),
    ],
)
def test_lists_that_everyvoices_loaders_spoil_are_read(tmp_path, name, content, expected):
    path = tmp_path / name
    path.write_bytes(content.encode())
    assert [one.text for one in read_filelist(path)] == expected

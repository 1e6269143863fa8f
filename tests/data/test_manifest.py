from dataclasses import replace

import pytest

from retimbre.data.manifest import read_filelist, write_filelist
from retimbre.data.utterance import Utterance
from retimbre.errors import DataError


def written(tmp_path, content, name="list.psv"):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_everyvoice_list_is_read_by_its_header(shared):
    project = shared / "parity/everyvoice_project/project"
    utterances = read_filelist(project / "ljmini-filelist.psv")
    assert [utterance.basename for utterance in utterances][:2] == ["LJ001-0002", "LJ001-0011"]
    assert utterances[0] == Utterance(
        basename="LJ001-0002",
        text="in being comparatively modern.",
        phones="ɪn biɪŋ kʌmpɛɹʌtɪvli mɑdɜ˞n.",
        speaker="speaker_0",
        language="eng",
    )
    assert utterances[0].stem == "LJ001-0002--speaker_0--eng"


def test_ljspeech_list_gives_the_normalised_column(shared):
    utterances = read_filelist(shared / "parity/everyvoice_project/recordings/metadata.csv")
    assert utterances[2] == Utterance(basename="LJ002-0035", text="eight. The press yard.")


def test_all_corpora_can_be_read(shared):
    sizes = {p.parent.name: len(read_filelist(p)) for p in (shared / "data").glob("*/metadata.csv")}
    assert sizes == {"kathleen": 850, "ljspeech-mini": 41, "non-english-mini": 125}


def test_ljspeech_line_without_normalised_text_gives_the_raw_one(tmp_path):
    path = written(tmp_path, "a|Raw.|\r\nb|Two columns.\r\n")
    assert [u.text for u in read_filelist(path, format="ljspeech")] == ["Raw.", "Two columns."]


def test_escapes_survive_writing_and_reading(tmp_path):
    odd = 'a | b \\ "c" \\n d\'s'
    utterances = [
        Utterance(basename="sub/x y", text=odd, phones="ə|b", speaker="s 1", language="de"),
        Utterance(basename="z", text="plain", speaker="s 1", language="de"),
    ]
    write_filelist(tmp_path / "list.psv", utterances)
    assert read_filelist(tmp_path / "list.psv") == utterances
    assert '\\"c\\"' in (tmp_path / "list.psv").read_text()


def test_columns_are_written_as_everyvoice_does(tmp_path, shared):
    theirs = (shared / "parity/everyvoice_project/project/ljmini-filelist.psv").read_bytes()
    ours = tmp_path / "list.psv"
    write_filelist(ours, read_filelist(shared / "parity/everyvoice_project/project/ljmini-filelist.psv"))
    assert ours.read_bytes().rstrip() == theirs.replace(b"\r\n", b"\n").rstrip()


def test_columns_of_other_programs_stay_where_the_text_is_the_same(tmp_path, shared):
    source = shared / "parity/everyvoice_project/project/preprocessed/filelist.psv"
    path = written(tmp_path, source.read_bytes())
    utterances = read_filelist(path)
    write_filelist(path, utterances)
    assert path.read_bytes() == source.read_bytes()
    changed = Utterance(basename="LJ002-0035", text="nine.", speaker="speaker_0", language="eng")
    write_filelist(path, [utterances[0], changed])
    assert "i/n/ /b/e/i/n/g" in path.read_text()
    assert "8/./ /t/h/e" not in path.read_text()


def test_byte_order_mark_and_windows_line_ends_are_no_text(tmp_path):
    path = written(tmp_path, "\ufeffbasename|characters\r\na|hello\r\n\r\nb|you\r\n")
    assert [(u.basename, u.text) for u in read_filelist(path)] == [("a", "hello"), ("b", "you")]


def test_endings_of_sound_files_are_cut_and_other_points_stay(tmp_path):
    path = written(tmp_path, "basename|characters\na.wav|x\nb.1|x\nc.FLAC|x\n")
    assert [u.basename for u in read_filelist(path)] == ["a", "b.1", "c"]


@pytest.mark.parametrize("name", ["train.txt", "train.csv"])
def test_paths_of_dl_art_school_are_names_with_folders(tmp_path, name):
    lines = "wavs/a.wav|One, two.\n./wavs/b.1.wav|Three\nmore/deep/c.FLAC|Four; (five).\nd.mp3|Six\n"
    utterances = read_filelist(written(tmp_path, lines, name))
    assert [(u.basename, u.text) for u in utterances] == [
        ("wavs/a", "One, two."),
        ("wavs/b.1", "Three"),
        ("more/deep/c", "Four; (five)."),
        ("d", "Six"),
    ]


def test_list_with_phones_alone_is_read(tmp_path):
    (utterance,) = read_filelist(written(tmp_path, "basename|phones\na|həloʊ\n"))
    assert (utterance.text, utterance.phones) == ("", "həloʊ")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "lists nothing"),
        ("basename|characters\n", "lists nothing"),
        ("characters|speaker\na|b\n", "lacks a column"),
        ("basename|speaker\na|b\n", "lacks a column"),
        ("basename|characters|characters\na|b|c\n", "column twice"),
        ("basename|characters\na|b\na.wav|c\n", "in lines 2, 3"),
        ("basename|characters\na|b|c\n", "line 2 cannot be read: expected 2 columns"),
        ("basename|characters\n../x|b\n", "line 2: the basename '../x'.*way out"),
        ("basename|characters\n/etc/x|b\n", "line 2: the basename"),
        ("basename|characters\na\\\\b|c\n", "line 2: the basename"),
        ("basename|characters\n |b\n", "line 2: the basename"),
        ("basename|characters|speaker\na|b|x/../../y\n", "line 2: the speaker"),
        ("basename|characters\na|b\nc| \n", "line 3: a recording has no text"),
        ("basename|characters|speaker|language\na--b|x|c|d\na|x|b--c|d\n", "more than once"),
        (b"basename|characters\na|b\nc|gr\xfc\xdfe\n", "not UTF-8.*0xfc in line 3"),
        ("just one column\n", "2 or 3 columns"),
    ],
)
def test_bad_list_is_explained(tmp_path, content, message):
    with pytest.raises(DataError, match=message):
        read_filelist(written(tmp_path, content))


def test_missing_list_is_explained(tmp_path):
    with pytest.raises(DataError, match="nothing of that name"):
        read_filelist(tmp_path / "none.psv")


def spoken(path, **options):
    return [(u.basename, u.text) for u in read_filelist(path, **options)]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.psv", 'basename|speaker|characters\nx.wav|s|One, \\"two\\" \\| three\n'),
        ("a.tsv", 'basename\tspeaker\tcharacters\nx.wav\ts\tOne, \\"two\\" | three\n'),
        ("a.csv", 'basename,speaker,characters\nx.wav,s,"One, ""two"" | three"\n'),
        ("a.csv", 'basename,speaker,characters\nx.wav,s,One\\, \\"two\\" | three\n'),
        ("a.data", '( x "One, \\"two\\" | three" )\n'),
    ],
)
def test_every_form_of_a_list_is_found_out_and_keeps_quotes_and_marks(tmp_path, name, content):
    path = written(tmp_path, content, name)
    assert spoken(path) == [("x", 'One, "two" | three')]


@pytest.mark.parametrize(("name", "mark"), [("a.tsv", "\t"), ("a.csv", ",")])
def test_a_list_that_does_not_name_its_columns_has_basename_and_text(tmp_path, name, mark):
    two = written(tmp_path, f"x{mark}One.\ny.wav{mark}Two.\n", name)
    assert spoken(two) == [("x", "One."), ("y", "Two.")]
    three = written(tmp_path, f"x{mark}1.{mark}One.\ny{mark}Two.{mark}\n", name)
    assert spoken(three) == [("x", "One."), ("y", "Two.")]


def test_columns_named_characters_and_text_are_not_taken_for_nameless_ones(tmp_path):
    path = written(tmp_path, "basename,characters,text\nx,One.,1.\n", "a.csv")
    assert spoken(path) == [("x", "One.")]


def test_a_plain_text_has_one_utterance_per_line_named_after_its_number(tmp_path):
    path = written(tmp_path, "One.\n\n a|b \n", "story.txt")
    assert spoken(path, format="text") == [("story-00001", "One."), ("story-00003", "a|b")]


def test_arpabet_is_read_as_phones_and_stays_as_it_was_written(tmp_path):
    path = written(tmp_path, "basename|arpabet\nx|HHAH0LOW1\n")
    (utterance,) = read_filelist(path)
    assert utterance.phones == "həlˈoʊ"
    write_filelist(path, [utterance])
    assert read_filelist(path) == [utterance]
    assert "HHAH0LOW1" in path.read_text()


def test_phones_of_a_list_come_before_its_arpabet(tmp_path):
    path = written(tmp_path, "basename|arpabet|phones\nx|HH|b\n")
    assert read_filelist(path)[0].phones == "b"


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.csv", "basename,characters\nx,One, two\n", "line 2 cannot be read: expected 2 columns with ','"),
        ("a.csv", 'basename,characters\nx,"One" two, three\n', 'line 2 cannot be read.*Write .".'),
        ("a.tsv", "basename\tcharacters\nx\tOne\ttwo\n", "line 2 .* with tabs between them, found 3"),
        ("a.csv", "basename,txt\nx,One\n", "lacks a column"),
        (
            "a.txt",
            '( x "One" )\n( y two )\n',
            r"line 2 .* expected \( id \"text\" \), found \( y",
        ),
        ("a.psv", "basename|arpabet\nx|HHAH0\ny|hello\n", "line 3: there is no ARPAbet symbol hello"),
    ],
)
def test_what_is_wrong_in_a_list_is_named_with_its_line(tmp_path, name, content, expected):
    with pytest.raises(DataError, match=expected):
        read_filelist(written(tmp_path, content, name))


def test_the_label_of_a_data_set_is_read_and_written_and_tells_no_utterances_apart(tmp_path):
    path = tmp_path / "list.psv"
    path.write_text("basename|characters|label\na|one|north\nb|two|\n", encoding="utf-8")
    first, second = read_filelist(path)
    write_filelist(tmp_path / "again.psv", [first, second])

    assert (first.label, second.label) == ("north", "")
    assert replace(first, label="south") == first
    assert [u.label for u in read_filelist(tmp_path / "again.psv")] == ["north", ""]
    write_filelist(path, [replace(first, label="south"), second])
    assert [u.label for u in read_filelist(path)] == ["south", ""]

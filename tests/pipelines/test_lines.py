"""Lists of every kind are read, and each text has a name of its own, as EveryVoice gives it."""

import pytest

from retimbre.audio.mel import mel_librosa
from retimbre.errors import DataError
from retimbre.models.description import Description
from retimbre.models.fastspeech2.variance import Controls
from retimbre.pipelines.lines import lines_of, names_apart
from retimbre.pipelines.request import Request

CHARACTERS = Description(
    family="fastspeech2", sizes={}, spectrogram=mel_librosa(), speakers=("ann", "bob"), languages=("eng",)
)
PHONES = Description(family="fastspeech2", sizes={}, spectrogram=mel_librosa(), text_level="phones")


@pytest.fixture
def read(tmp_path):
    """The lines of a list: read("basename|characters\\nx|one", PHONES, text_representation="phones")."""

    def run(content, described=CHARACTERS, **asked):
        path = tmp_path / "list.psv"
        path.write_text(content, encoding="utf-8")
        return lines_of(Request(filelist=path, output_types=("spec",), **asked), described)

    return run


def stems(lines):
    return [line.utterance.stem for line in lines]


def test_texts_of_the_command_are_named_after_their_words():
    request = Request(texts=(" one two ", "three"), output_types=("spec",), speaker="bob")

    assert stems(lines_of(request, CHARACTERS)) == ["one-two--bob--eng", "three--bob--eng"]


def test_a_plain_list_is_one_text_a_line(read):
    lines = read("\ufeffone\n\n two, three\n")

    assert [line.text for line in lines] == ["one", "two, three"]
    assert stems(lines) == ["one--ann--eng", "two-three--ann--eng"]


def test_basenames_of_a_list_are_kept_and_others_are_made_of_the_words(read):
    kept = read("basename|characters|speaker\nsub/x.wav|one|bob\ny|one|\n")
    made = read("characters|speaker\none two|bob\nthree|\n")

    assert stems(kept) == ["sub/x--bob--eng", "y--ann--eng"]
    assert stems(made) == ["one-two--bob--eng", "three--ann--eng"]


def test_speaker_and_language_of_the_command_win(read):
    lines = read("basename|characters|speaker|language\nx|one|bob|deu\n", speaker="ann", language="fra")

    assert stems(lines) == ["x--ann--fra"]


def test_a_list_of_recordings_without_a_header_is_read_too(read):
    lines = read("u1|Nr. 1|number one\nu2|two|\n")

    assert [(line.utterance.basename, line.text) for line in lines] == [("u1", "number one"), ("u2", "two")]


def test_lines_of_white_space_say_nothing(read):
    lines = read("\n  \ncharacters|speaker\n one |ann\n   \n\ntwo|bob\n")

    assert [(line.text, line.utterance.speaker) for line in lines] == [("one", "ann"), ("two", "bob")]


def test_texts_that_would_share_a_name_get_a_digest_and_equal_ones_are_spoken_once(read):
    names = [line.utterance.basename for line in read("one.\none!\nOne?\none!\ntwo\n")]

    assert len({name.casefold() for name in names}) == 4
    assert names[3] == "two"


def test_a_model_of_phones_takes_phones_unless_something_else_is_asked_for(read):
    content = "basename|characters|phones|arpabet\nx|one|wʌn|W AH1 N\n"

    def chosen(described, **asked):
        (line,) = read(content, described, **asked)
        return line.text, line.form

    assert chosen(PHONES) == ("wʌn", "phones")
    assert chosen(CHARACTERS) == ("one", "characters")
    assert chosen(PHONES, text_representation="characters") == ("one", "characters")
    assert chosen(PHONES, text_representation="arpabet") == ("W AH1 N", "arpabet")


def test_a_missing_column_is_named(read):
    with pytest.raises(DataError, match="a line without phones: expected a column 'phones'"):
        read("basename|characters\nx|one\n", PHONES, text_representation="phones")


def test_a_line_may_have_controls_of_its_own(read):
    x, y = read(
        "basename|characters|duration_control|pitch_control|energy_control\nx|one|1.5||0.5\ny|two|||\n",
        controls=Controls(pitch=1.2),
    )

    assert x.controls == Controls(duration=1.5, pitch=1.2, energy=0.5)
    assert y.controls == Controls(pitch=1.2)


@pytest.mark.parametrize("cell", ["fast", "0", "-1", "nan", "inf"])
def test_a_control_that_makes_no_sense_is_named(read, cell):
    with pytest.raises(DataError, match=f"the duration_control '{cell}' makes no sense"):
        read(f"basename|characters|duration_control\nx|one|{cell}\n")


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("", "lists nothing"),
        ("\n \n", "lists nothing"),
        ("basename|characters\n", "lists nothing"),
        ("basename|characters\nx|one|two\n", "line 2 cannot be read: expected 2 columns .* found 3"),
        ("characters|characters\none|two\n", "has a column twice"),
        pytest.param(f"characters\n{'x' * 140_000}\n", "line 2 cannot be read", id="a cell without end"),
        ("basename|characters\nx|one\nx|two\n", "names are needed more than once"),
        ("basename|characters\n../x|one\n", "cannot be used in file names"),
    ],
)
def test_a_list_that_cannot_be_read_is_refused(read, content, named):
    with pytest.raises(DataError, match=named):
        read(content)


def test_simple_names_must_differ_without_speaker_and_language(read):
    content = "basename|characters|speaker\nx|one|ann\nx|one|bob\n"

    assert len(read(content)) == 2
    with pytest.raises(DataError, match="found x. Leave out --simple-filenames"):
        read(content, is_simply_named=True)


def test_names_of_texts_differ_and_do_not_depend_on_their_order():
    texts = ["One.", "one!", "two", " two ", "One."]

    names = names_apart(texts)

    assert sorted(names.values()) == ["One.", "one!", "two"]
    assert len({name.casefold() for name in names}) == 3
    assert names == names_apart(texts[::-1])
    assert names["two"] == "two"

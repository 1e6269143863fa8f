"""Texts become pieces of the model's symbols, and each piece knows its words as they were written."""

import pytest

from retimbre.data.stats import Stat
from retimbre.errors import TextError
from retimbre.pipelines.pieces import Word, piece_of, pieces_of, spoken_words
from retimbre.text.reading import Read
from retimbre.text.split import Boundaries, Splitting


@pytest.fixture
def with_lengths(text_to_spec):
    """A model that was trained on texts of these lengths: with_lengths(characters=(5, 10), phones=(3, 6))."""

    def build(*, characters, phones, **described):
        def stat(lengths):
            return Stat(mean=float(lengths[0]), std=1.0, min=1.0, max=float(lengths[1]), n=3)

        stats = text_to_spec().description.stats
        stats = type(stats)(
            pitch=stats.pitch,
            energy=stats.energy,
            character_length=stat(characters),
            phone_length=stat(phones),
        )
        return text_to_spec(stats=stats, **described)

    return build


def texts(pieces):
    return ["".join(piece.symbols) for piece in pieces]


def test_a_text_is_cut_at_the_lengths_that_the_model_knows(with_lengths):
    loaded = with_lengths(characters=(8, 14), phones=(2, 100))

    assert texts(pieces_of("a bad. a cab. had a bag.", loaded)) == ["a bad. a cab.", "had a bag."]
    assert texts(pieces_of("a bad. a cab.", loaded, splitting=Splitting(is_on=False))) == ["a bad. a cab."]


def test_phones_are_cut_at_the_lengths_of_phones(with_lengths):
    loaded = with_lengths(characters=(99, 199), phones=(4, 9), text_level="phones")

    assert texts(pieces_of("a bad. a cab.", loaded, form="phones")) == ["a bad.", "a cab."]
    assert texts(pieces_of("a bad. a cab.", loaded)) == [
        "a bad.",
        "a cab.",
    ]  # no rules: they are phones already


def test_a_language_may_have_its_own_boundaries(with_lengths):
    loaded = with_lengths(characters=(4, 9), phones=(4, 9), languages=("one", "two"))
    splitting = Splitting(boundaries={"two": Boundaries(strong="d", weak="")})

    assert texts(pieces_of("abcd e. a", loaded, language="one", splitting=splitting)) == ["abcd e.", "a"]
    assert texts(pieces_of("abcd e. a", loaded, language="two", splitting=splitting)) == ["abcd", "e. a"]


def test_arpabet_becomes_phones(text_to_spec):
    loaded = text_to_spec(text_level="phones")

    (piece,) = pieces_of("BDG HHF", loaded, form="arpabet")

    assert "".join(piece.symbols) == "bdg hf"
    assert [word.label for word in piece.words] == ["bdg", "hf"]


@pytest.mark.parametrize("form", ["phones", "arpabet"])
def test_a_model_of_characters_reads_no_phones(text_to_spec, form):
    with pytest.raises(TextError, match=f"reads characters: .* found {form}"):
        pieces_of("B", text_to_spec(), form=form)


@pytest.mark.parametrize("text", ["", " \n"])
def test_nothing_is_refused(text_to_spec, text):
    with pytest.raises(TextError, match="nothing is left to speak"):
        pieces_of(text, text_to_spec())


def test_words_are_labelled_as_they_are_written(text_to_spec):
    loaded = text_to_spec()

    def read(text):
        return Read(
            text={"8 & 21 BAD!": "a bad cab had bad.", "8": "a", "&": "", "21": "bad cab had"}.get(
                text, "bad."
            )
        )

    piece = piece_of("8 & 21 BAD!", read("8 & 21 BAD!"), loaded, read_word=read)

    assert piece.words == (
        Word(label="8 &"),
        Word(label="21", n_spoken=3),
        Word(label="BAD!"),
    )


def test_words_that_cannot_be_told_apart_are_labelled_as_they_are_spoken(text_to_spec):
    piece = piece_of("x y", Read(text="a bad cab"), text_to_spec(), read_word=lambda word: Read(text="a bad"))

    assert [word.label for word in piece.words] == ["a", "bad", "cab"]


def test_spaces_belong_to_the_word_before_them():
    assert spoken_words([" ", "a", " ", " ", "b", " "]) == [[" ", "a", " ", " "], ["b", " "]]


def test_a_text_is_cut_as_the_model_was_trained_unless_something_else_is_said(with_lengths):
    trained = Splitting(boundaries={"default": Boundaries(strong="d", weak="")})
    loaded = with_lengths(characters=(4, 9), phones=(4, 9), splitting=trained)
    whole = with_lengths(characters=(4, 9), phones=(4, 9), splitting=Splitting(is_on=False))

    assert texts(pieces_of("abcd e. a", loaded)) == ["abcd", "e. a"]
    assert texts(pieces_of("abcd e. a", loaded, splitting=Splitting())) == ["abcd e.", "a"]
    assert texts(pieces_of("a bad. a cab.", whole)) == ["a bad. a cab."]

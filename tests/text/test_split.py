"""Pieces are those of EveryVoice 0.5.0, except where it loses signs, tears words or stops."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retimbre.text.split import Boundaries, split_text, tortoise_pieces

CASES = json.loads(
    (Path(__file__).parents[1] / "fixtures/everyvoice/synthesis/split.json").read_text(encoding="utf-8")
)
PARTS = st.sampled_from([*"abcß.,;:!?\"'()… \n\t", "e\u0301", "t͡ʃ", " and ", "word ", ". "])
TEXTS = st.lists(PARTS, max_size=120).map("".join)


def pieces_of(case):
    boundaries = Boundaries(strong=case["strong"], weak=case["weak"])
    return split_text(case["text"], desired=case["desired"], longest=case["longest"], boundaries=boundaries)


def without_space(text):
    return "".join(text.split())


@pytest.mark.parametrize(
    "case", [c for c in CASES if "everyvoice_is_wrong" not in c], ids=lambda c: c["text"][:30]
)
def test_a_text_is_cut_where_everyvoice_cuts_it(case):
    assert list(pieces_of(case)) == case["pieces"]


@pytest.mark.parametrize(
    "case", [c for c in CASES if "everyvoice_is_wrong" in c], ids=lambda c: c["text"][:30]
)
def test_where_everyvoice_is_wrong_nothing_is_lost_and_no_word_is_torn(case):
    pieces = pieces_of(case)

    assert list(pieces) != case["pieces"]
    assert without_space("".join(pieces)) == without_space(case["text"])
    if " " in case["text"]:
        assert " ".join(pieces).split() == case["text"].split()


def test_most_cases_are_equal():
    assert sum("everyvoice_is_wrong" not in case for case in CASES) >= 45


@given(text=TEXTS, desired=st.integers(0, 40), longest=st.integers(-1, 60))
def test_pieces_together_are_the_whole_text(text, desired, longest):
    pieces = split_text(text, desired=desired, longest=longest)

    assert without_space("".join(pieces)) == without_space(text)
    assert all(piece.strip() == piece != "" for piece in pieces)


@given(words=st.lists(st.text("abc", min_size=1, max_size=30), max_size=30), desired=st.integers(0, 20))
def test_no_piece_is_longer_than_asked(words, desired):
    assert all(len(piece) <= 20 for piece in split_text(" ".join(words), desired=desired, longest=20))


@given(words=st.lists(st.text('abc.,!"', min_size=1, max_size=9), min_size=1, max_size=40))
def test_no_word_is_torn_that_fits(words):
    pieces = split_text(" ".join(words), desired=10, longest=20)

    assert " ".join(pieces).split() == words


def test_a_short_text_stays_whole():
    assert split_text("One. Two. Three.") == ("One. Two. Three.",)


def test_signs_alone_stay_with_the_words_before_or_after_them():
    assert split_text("... Well then. ?!", desired=3, longest=20) == ("... Well then. ?!",)
    assert split_text("...") == ("...",)
    assert split_text(" \n ") == ()


def test_an_accent_is_not_torn_from_its_letter_nor_a_tied_pair_apart():
    assert split_text("e\u0301" * 4, desired=2, longest=3) == ("e\u0301",) * 4
    assert split_text("t͡ʃt͡ʃ", desired=3, longest=5) == ("t͡ʃ", "t͡ʃ")


def test_a_language_has_its_own_boundaries():
    hindi = Boundaries(strong="।", weak=",")

    assert split_text("एक। दो। तीन।", desired=2, longest=20, boundaries=hindi) == ("एक।", "दो।", "तीन।")


def test_a_quotation_mark_without_a_partner_hides_no_boundary():
    text = 'A note: "First. Second" and one " alone. And more words here.'

    assert split_text(text, desired=10, longest=40) == (
        'A note: "First. Second" and one " alone.',
        "And more words here.",
    )


LAMB = "mary had a little lamb and its fleece was white as snow "


@given(text=TEXTS, desired=st.integers(0, 40), longest=st.integers(-1, 60))
def test_tortoise_pieces_together_are_the_text_but_for_signs_alone(text, desired, longest):
    pieces = tortoise_pieces(text, desired=desired, longest=longest)
    said = without_space("".join(pieces))

    assert all(piece.strip() == piece != "" for piece in pieces)
    assert [char for char in said if char not in ".,:;!?"] == [
        char for char in without_space(text) if char not in ".,:;!?"
    ]


@given(words=st.lists(st.text('abc.,!"', min_size=1, max_size=9), max_size=40))
def test_tortoise_pieces_tear_no_word_that_fits_and_are_not_longer_than_asked(words):
    pieces = tortoise_pieces(" ".join(words), desired=10, longest=20)

    assert all(len(piece) <= 20 for piece in pieces)
    assert [word for word in " ".join(pieces).split() if word.strip(".,!")] == [
        word for word in words if word.strip(".,!")
    ]


def test_a_last_quotation_mark_without_a_partner_opens_nothing():
    assert tortoise_pieces('It is 15" wide. So it is. It is.', desired=20, longest=40) == (
        'It is 15" wide. So it is.',
        "It is.",
    )


def test_marks_that_can_only_close_a_quotation_open_none():
    assert tortoise_pieces('It is 15" wide. And it is 20" high. So', desired=8, longest=40) == (
        'It is 15" wide.',
        'And it is 20" high.',
        "So",
    )


@pytest.mark.parametrize(
    "start",
    [
        "Seen by Dr. Jones and",
        "Seen by st. paul and",
        "Seen (was it?) and",
        "At a.org/?q=b and",
        "It is 3.14159 and",
    ],
)
def test_neither_titles_nor_signs_without_a_space_end_a_sentence_for_tortoise(start):
    assert tortoise_pieces(f"{start} left. Then", desired=8, longest=40) == (f"{start} left.", "Then")


def test_companies_and_sons_may_end_a_sentence_for_tortoise():
    assert tortoise_pieces("It is by Jones Jr. So", desired=8, longest=40) == ("It is by Jones Jr.", "So")


@pytest.mark.parametrize("word", ["3.14159265", "lot!!!!!!", "x" * 18, "a.b.c.d"])
@pytest.mark.parametrize("start", ["and", "and so", "and so on", "and so on it"])
def test_a_word_is_not_cut_for_tortoise_if_it_fits(start, word):
    pieces = tortoise_pieces(f"{start} {word} ends", desired=8, longest=19)

    assert " ".join(pieces).split() == [*start.split(), word, "ends"]


def test_an_accent_stays_with_its_letter_for_tortoise():
    assert tortoise_pieces("e\u0301" * 4, desired=3, longest=4) == ("e\u0301",) * 4


def test_a_writer_cuts_a_text_for_tortoise_alone():
    assert tortoise_pieces("One.|Two. Three. ||four", desired=3, longest=20) == (
        "One.",
        "Two. Three.",
        "four",
    )
    assert tortoise_pieces("a|" + LAMB * 8, desired=200, longest=300)[0] == "a"
    assert all(len(piece) <= 300 for piece in tortoise_pieces("a|" + LAMB * 8))


def test_a_tortoise_text_of_signs_alone_has_no_pieces_but_strange_signs_are_kept():
    assert tortoise_pieces("... ?! ") == ()
    assert tortoise_pieces("🙂") == ("🙂",)

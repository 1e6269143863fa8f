"""Pieces are those of EveryVoice 0.5.0, except where it loses signs, tears words or stops."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retimbre.text.split import Boundaries, split_text

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

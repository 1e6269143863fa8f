"""IPA falls into the symbols that EveryVoice's checkpoints know."""

import pytest

from retimbre.text.ipa import split_ipa


@pytest.mark.parametrize(
    ("text", "symbols"),
    [
        ("tʃ", ("t", "ʃ")),
        ("t͡ʃa", ("t͡ʃ", "a")),
        ("ɜ˞z", ("ɜ˞", "z")),
        ("tʰiːn", ("tʰ", "iː", "n")),
        ("ma˥˩", ("m", "a", "˥˩")),
        ("á˥", ("á˥",)),
        ("ˈa.b_c", ("ˈ", "a", ".", "b", "_", "c")),
    ],
)
def test_a_mark_stays_with_its_letter(text, symbols):
    assert split_ipa(text) == symbols


def test_the_unicode_form_is_the_one_that_is_asked_for():
    assert split_ipa("ɔ\u0303e\u0301", "NFC") == ("ɔ\u0303", "\u00e9")
    assert split_ipa("ɔ\u0303\u00e9", "NFD") == ("ɔ\u0303", "e\u0301")
    assert split_ipa("\u00e9\u00e7", None) == ("e\u0301", "\u00e7")


def test_a_space_is_a_symbol_and_other_white_space_is_none():
    assert split_ipa("a  b\tc\n") == ("a", " ", " ", "b", "c")


def test_a_mark_at_the_beginning_is_a_symbol_of_its_own():
    assert split_ipa("ʰt") == ("ʰ", "t")
    assert split_ipa("a ʰt") == ("a", " ", "ʰ", "t")


def test_the_signs_that_everyvoice_drops_are_dropped():
    assert split_ipa("le‿z|ami") == ("l", "e", "z", "a", "m", "i")


def test_nothing_gives_nothing():
    assert split_ipa("") == ()

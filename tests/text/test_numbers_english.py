"""Digits become the English words that a reader would say."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retimbre.text.numbers_english import cardinal, ordinal, spell_numbers


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0", "zero"),
        ("21 cats", "twenty one cats"),
        ("105", "one hundred five"),
        ("1,234,567", "one million two hundred thirty four thousand five hundred sixty seven"),
        ("3000000000", "three billion"),
        ("007", "zero zero seven"),
        ("in 1984.", "in nineteen eighty four."),
        ("1905, 1900", "nineteen oh five, nineteen hundred"),
        ("2007", "two thousand seven"),
        ("2024", "twenty twenty four"),
        ("1914-1918", "nineteen fourteen-nineteen eighteen"),
        ("1,984", "one thousand nine hundred eighty four"),
        ("the 1990s and '80s", "the nineteen nineties and 'eighties"),
        (
            "1st 2nd 3rd 12th 20th 21st 100th",
            "first second third twelfth twentieth twenty first one hundredth",
        ),
        ("3.14", "three point one four"),
        (".5", "zero point five"),
        ("50%", "fifty percent"),
        ("-5 and 2-3", "minus five and two-three"),
        ("$1, $5.20, $5.05", "one dollar, five dollars twenty, five dollars oh five"),
        ("$3.5 million.", "three point five million dollars."),
        ("£1,000", "one thousand pounds"),
        ("3:45, 10:00, 9:05", "three forty five, ten, nine oh five"),
        ("mp3 4x4", "mp three four x four"),
    ],
)
def test_a_number_is_read_as_people_read_it(text, words):
    assert spell_numbers(text) == words


def test_a_text_without_digits_stays_as_it_is():
    assert spell_numbers("No $ here - none, at 5̶ all".replace("5̶", "")) == "No $ here - none, at  all"


def test_a_very_long_number_is_read_digit_by_digit():
    assert spell_numbers("1" * 13) == " ".join(["one"] * 13)


@given(st.text(alphabet="0123456789.,:$%-st ", max_size=20))
def test_no_digit_is_ever_left(text):
    assert not any(char.isdigit() for char in spell_numbers(text))


@given(st.integers(min_value=0, max_value=10**12 - 1))
def test_every_number_has_a_cardinal_and_an_ordinal_of_its_own(n):
    assert cardinal(n).replace(" ", "").isalpha()
    assert ordinal(n) != cardinal(n)
    assert n == 0 or cardinal(n) != cardinal(n - 1)

"""`-c a.b.c=value`, put into plain values."""

import pytest

from retimbre.errors import RecipeError
from retimbre.recipe.overrides import apply_override, split_override


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("a.0.b=5", {"a": [{"b": 5}, {"b": 2}]}),
        ("a.1=[x]", {"a": [{"b": 1}, ["x"]]}),
        ("a.1.c.d=x=y", {"a": [{"b": 1}, {"b": 2, "c": {"d": "x=y"}}]}),
    ],
)
def test_lists_are_entered_by_number(override, expected):
    raw = {"a": [{"b": 1}, {"b": 2}]}
    apply_override(raw, override)

    assert raw == expected


@pytest.mark.parametrize("override", ["a.2.b=5", "a.x=5", "a.-1=5"])
def test_a_place_that_is_not_in_the_list_is_refused(override):
    with pytest.raises(RecipeError, match="names no place in a list: expected a number from 0 to 1"):
        apply_override({"a": [1, 2]}, override)


def test_only_the_first_sign_separates_key_and_value():
    assert split_override(" a.b =c=d") == ("a.b", "c=d")


def test_a_value_may_be_changed_before_it_is_put_there():
    raw = {}
    apply_override(raw, "a.b=x", place=lambda key, value: f"{key}:{value}")

    assert raw == {"a": {"b": "a.b:x"}}

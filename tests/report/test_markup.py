"""Text cannot become markup."""

from hypothesis import given
from hypothesis import strategies as st

from retimbre.report.markup import Html, joined, tag


@given(st.text())
def test_text_never_opens_a_tag_or_closes_an_attribute(text):
    inside = tag("p", text)[len("<p>") : -len("</p>")]
    assert not set(inside) & set("<>\"'")
    assert tag("p", title=text).count('"') == 2


def test_markup_stays_as_it_is():
    assert tag("p", tag("b", "a&b"), None, Html("<i></i>")) == "<p><b>a&amp;b</b><i></i></p>"
    assert joined("<", Html("<br>")) == "&lt;<br>"


def test_attributes_are_named_as_in_html():
    drawn = tag("input", class_="a", aria_label="b", hidden=True, title=None, checked=False)
    assert drawn == '<input class="a" aria-label="b" hidden>'

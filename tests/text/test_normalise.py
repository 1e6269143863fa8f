import pytest

from retimbre.errors import TextError
from retimbre.text.normalise import TextRules, normalise


def test_longest_expression_is_replaced_first():
    rules = TextRules(to_replace={"a": "1", "ab": "2"}, cleaners=())
    assert normalise("aab", rules) == "12"


def test_cleaners_run_in_their_order_after_the_replacements():
    rules = TextRules(to_replace={"&": " UND "}, cleaners=("collapse_whitespace", "strip_text", "lower"))
    assert normalise("  Tom &  Jerry\n", rules) == "tom und jerry"


def test_letters_and_accents_become_one_code_point():
    assert normalise("u\u0308", TextRules(cleaners=("nfc_normalize",))) == "ü"


def test_dotted_names_of_everyvoice_are_the_same_cleaners():
    dotted = TextRules(cleaners=("everyvoice.utils.lower", "everyvoice.utils.nfc_normalize"))
    assert dotted == TextRules(cleaners=("lower", "nfc_normalize"))


def test_dotted_name_of_something_else_is_refused_and_not_imported():
    with pytest.raises(TextError, match="no cleaner 'os.system'"):
        TextRules(cleaners=("os.system",))


def test_misspelt_cleaner_names_the_nearest():
    with pytest.raises(TextError, match="Write lower"):
        TextRules(cleaners=("lowr",))


@pytest.mark.parametrize(("pattern", "replacement"), [("(", "x"), ("a", r"\2"), ("[z-a]", "")])
def test_bad_regex_is_refused_at_construction(pattern, replacement):
    with pytest.raises(TextError, match="makes no sense"):
        TextRules(to_replace={pattern: replacement})


def test_rules_survive_the_journey_through_plain_values():
    rules = TextRules(to_replace={r"\bMr\.": "Mister"}, cleaners=("lower",))
    assert TextRules.from_dict(rules.to_dict()) == rules

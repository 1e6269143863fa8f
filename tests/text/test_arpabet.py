"""ARPAbet becomes the IPA that EveryVoice 0.5.0 makes of it; what is no ARPAbet is named."""

import json
from pathlib import Path

import pytest

from retimbre.errors import TextError
from retimbre.text.arpabet import TABLE, phones_of_arpabet

FIXTURE = Path(__file__).parents[1] / "fixtures/everyvoice/synthesis/arpabet.json"
EVERYVOICE = json.loads(FIXTURE.read_text(encoding="utf-8"))


def test_every_symbol_with_every_stress_is_everyvoices():
    assert {symbol: phones_of_arpabet(symbol) for symbol in EVERYVOICE["symbols"]} == EVERYVOICE["symbols"]


def test_texts_become_what_everyvoice_makes_of_them():
    assert {text: phones_of_arpabet(text) for text in EVERYVOICE["texts"]} == EVERYVOICE["texts"]


def test_only_the_two_affricates_are_more_than_everyvoice_has():
    assert TABLE.keys() - EVERYVOICE["symbols"].keys() == {"CH", "JH"}
    assert phones_of_arpabet("CHER1CH JHAH1JH") == "tʃˈɜrtʃ dʒˈʌdʒ"


@pytest.mark.parametrize(("text", "named"), [("HH AH3", "3"), ("hh ah0", "hh ah0"), ("Q AA1", "Q")])
def test_what_is_no_arpabet_is_named(text, named):
    with pytest.raises(TextError, match=f"no ARPAbet symbol {named}"):
        phones_of_arpabet(text)

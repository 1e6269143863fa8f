"""Any text in the signs of ASCII: what TorToiSe's English models were trained to read.

They were trained on what the package Unidecode makes of a text, which is under the GPL. text-unidecode is
not; it has an older state of the same tables and lacks many later signs. Those are in `ADDED`, or what
Unicode says of them is taken: more is found by that than by Unidecode, which leaves it out.
"""

import re
import unicodedata
from collections.abc import Mapping
from functools import cache

from text_unidecode import unidecode

UNTOLD = "[?]"  # how text-unidecode marks what it has no letters for
STROKE_OUT = "\u0338"  # a part of "not equal": without it the sign would say the contrary
BASE_LETTER = re.compile(
    r"(?:MODIFIER LETTER|LATIN|(?:NEGATIVE |CROSSED NEGATIVE )?(?:CIRCLED|SQUARED) LATIN)"
    r" (?:LETTER SMALL CAPITAL|CAPITAL LETTER|SMALL LETTER|CAPITAL|SMALL)"
    r" ([A-Z]{1,2})(?: WITH .*)?"
)

# A space before a fraction keeps "1½" apart from 11/2.
FRACTIONS = {
    sign: f" {unicodedata.normalize('NFKD', sign)}".replace("\N{FRACTION SLASH}", "/") for sign in "¼½¾"
}
OTHER_FRACTIONS = {"⅐": " 1/7 ", "⅑": " 1/9 ", "⅒": " 1/10 ", "↉": " 0/3 "}
MONEY = {
    "₰": "Pf",
    "₱": "P",
    "₲": "G",
    "₴": "UAH",
    "₸": "T",
    "₹": "Rs",
    "₺": "L",
    "₼": "m",
    "₽": "R",
    "₾": "l",
    "₿": "BTC",
}
MATHEMATICS = {"−": "-", "∕": "/", "∖": "\\", "∗": "*", "∣": "|", "∶": ":", "∼": "~", "≤": "<=", "≥": ">="}
SUITS = {
    "♠": "spades",
    "♤": "spades",
    "♥": "hearts",
    "♡": "hearts",
    "♦": "diamonds",
    "♢": "diamonds",
    "♣": "clubs",
    "♧": "clubs",
}
ORNAMENTS = {"❛": "'", "❜": "'", "❝": '"', "❞": '"', "❢": "!", "✱": "*", "⁎": "*", "♯": "#", "⁓": "~"}
SHORT_FORMS = {
    "№": "No. ",
    "™": "(tm)",
    "℠": "(sm)",
    "℗": "(p)",
    "℅": " c/o ",
    "℀": " a/c ",
    "\u2126": "ohm",
    "℮": "e",
}
LETTERS = {"Ŋ": "NG", "ŋ": "ng", "Є": "Ie", "Ъ": "'", "ъ": "'"}
ADDED: Mapping[str, str] = (
    FRACTIONS | OTHER_FRACTIONS | MONEY | MATHEMATICS | SUITS | ORNAMENTS | SHORT_FORMS | LETTERS
)


def transliterate(text: str) -> str:
    """`text` in ASCII. What has no counterpart there, as a picture or an invisible sign, is left out."""
    return text if text.isascii() else "".join(map(_in_ascii, text))


@cache
def _in_ascii(sign: str) -> str:
    if sign.isascii():
        return sign
    known = ADDED.get(sign) or unidecode(sign)
    return known if known and UNTOLD not in known else _by_unicode(sign)


def _by_unicode(sign: str) -> str:
    """By what a sign is composed of (ⓐ: a), its value as a number (⓫: 11), or its name (ᴀ: A)."""
    if unicodedata.category(sign) == "Zs":
        return " "
    parts = unicodedata.normalize("NFKD", sign)
    if parts != sign:
        return "" if STROKE_OUT in parts else "".join(map(_in_ascii, parts)).strip()
    value = unicodedata.numeric(sign, None) if unicodedata.category(sign) in ("Nd", "No") else None
    if value is not None and value.is_integer():
        return str(int(value))
    letter = BASE_LETTER.fullmatch(unicodedata.name(sign, ""))
    if letter is None:
        return ""
    return letter[1].lower() if "SMALL LETTER" in letter.string else letter[1]

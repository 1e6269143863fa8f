"""English texts as TorToiSe's networks were trained to read them: ASCII, small letters, numbers as words.

`clean_english` gives what tortoise-tts 3.0.0 gives, also where nobody would say so: the networks have learnt
the result, whatever it sounds like. Only the signs of `speak_signs` are read otherwise, on purpose. What is
odd is listed in docs/tortoise-text.md. tortoise-tts stops with an error at numbers from 10^36 on and at
amounts as "$,5": here the first are read digit by digit, the second as they stand.
"""

import re
from collections.abc import Mapping

from retimbre.text.normalise import collapse_whitespace
from retimbre.text.numbers_english import ONES, TENS, apart, as_ordinal, digits
from retimbre.text.transliterate import transliterate

THOUSANDS = (
    "",
    " thousand",
    " million",
    " billion",
    " trillion",
    " quadrillion",
    " quintillion",
    " sextillion",
    " septillion",
    " octillion",
    " nonillion",
    " decillion",
)
ABBREVIATIONS: Mapping[str, str] = {
    "mrs": "misess",  # this spelling is in the texts that the networks were trained on
    "mr": "mister",
    "dr": "doctor",
    "st": "saint",
    "co": "company",
    "jr": "junior",
    "maj": "major",
    "gen": "general",
    "drs": "doctors",
    "rev": "reverend",
    "lt": "lieutenant",
    "hon": "honorable",
    "sgt": "sergeant",
    "capt": "captain",
    "esq": "esquire",
    "ltd": "limited",
    "col": "colonel",
    "ft": "fort",
}
BEFORE_NAMES = ABBREVIATIONS.keys() - {"co", "jr", "esq", "ltd"}
MONEY = {"£": ("pound", "pounds", "penny", "pence"), "€": ("euro", "euros", "cent", "cents")}
SIZES = {
    "k": "thousand",
    "m": "million",
    "mn": "million",
    "b": "billion",
    "bn": "billion",
    "tn": "trillion",
    "trn": "trillion",
}

WITH_COMMAS = re.compile(r"[0-9][0-9,]+[0-9]")
DOLLARS = re.compile(r"\$([0-9.,]*[0-9]+)")
DECIMAL = re.compile(r"([0-9]+)\.([0-9]+)")
ORDINAL = re.compile(r"([0-9]+)(?:st|nd|rd|th)")
WHOLE = re.compile(r"[0-9]+")

GAP = "[ \u00a0\u2009\u202f]"  # spaces within a line, narrow ones and such that hold together, too
WORDS_OF_SIZE = "hundred|thousand|million|billion|trillion|mn|bn|trn|tn"
AMOUNT = (
    r"(?<![0-9])(?<![0-9][.,])(?=\.?[0-9])"
    r"(?P<whole>[0-9]{1,3}(?:,[0-9]{3})+|[0-9]*)(?:\.(?P<decimals>[0-9]+))?"
    r"(?![.,]?[^\Wa-zA-Z_])"  # "1,50", "1.2.3" and "1½" are left
    rf"(?P<size>(?:(?:-|{GAP})?(?:{WORDS_OF_SIZE})\b)+|[kmb]\b)?"
)
SIGN = "(?P<sign>[£€])"
# Where a number is on both sides of a sign, it belongs to the one that it touches, or to neither.
SIGN_FIRST = re.compile(rf"(?<![0-9]){SIGN}(?:(?<![0-9]{GAP}[£€]){GAP})?{AMOUNT}", re.IGNORECASE)
SIGN_LAST = re.compile(rf"{AMOUNT}{GAP}?{SIGN}(?!{GAP}?[0-9])", re.IGNORECASE)
PERCENT = re.compile(rf"(?<=[0-9¼½¾]){GAP}?%(?![0-9])")
# Neither "&c." nor "&amp;" is an "and".
AND = re.compile(r"(?<=[\w.,;:!?)\]'\"’”»])\s*&(?!c\.|[a-z]+;)\s*(?=[\w(\['\"‘“«$])")


def clean_english(text: str) -> str:
    """The text that a TorToiSe network reads: "Dr. Müller, 1st" is "doctor muller, first"."""
    text = spell_numbers(transliterate(speak_signs(text)).lower())
    for short, long in ABBREVIATIONS.items():
        text = re.sub(rf"\b{short}\.", long, text)
    return collapse_whitespace(text).replace('"', "")


def speak_signs(text: str) -> str:
    """£, €, % and & as words: "£5 & 50%" is "five pounds and 50 percent".

    This differs from tortoise-tts on purpose: there "£5" is "psfive" and "€20" is "eurtwenty", since signs
    are letters before its rule for pounds looks for them, and "%" and "&" become the unknown piece. The
    networks' texts never held these as stand-ins for words (training leaves out lines with an unknown
    piece), so nothing that was learnt is lost, and an unknown piece has no sound.

    Returns:
        The text, in which a sign that stands for no such word, as a "£" without an amount, is left.
    """
    for pattern in (SIGN_FIRST, SIGN_LAST):
        text = pattern.sub(lambda found: apart(found, _amount(found)), text)
    text = PERCENT.sub(lambda found: apart(found, " percent"), text)
    return AND.sub(" and ", text)


def spell_numbers(text: str) -> str:
    """Commas, dollars, decimals, ordinals, and then whatever is left of digits, as TorToiSe has them spoken.

    Args:
        text: In ASCII, where a sign of pounds that is left is letters already.
    """
    text = WITH_COMMAS.sub(lambda found: found[0].replace(",", ""), text)
    text = DOLLARS.sub(lambda found: _dollars(found[1]), text)
    text = DECIMAL.sub(r"\1 point \2", text)
    text = ORDINAL.sub(lambda found: as_ordinal(_cardinal(found[1], and_word=" and ")), text)
    return WHOLE.sub(lambda found: _number(found[0]), text)


def _amount(found: re.Match[str]) -> str:
    """ "1,000.50" is "one thousand pounds, fifty pence", "1.5m" "one point five million pounds"."""
    one, many, one_hundredth, hundredths = MONEY[found["sign"]]
    whole, decimals = (found["whole"].replace(",", ""), found["decimals"] or "")
    size = (found["size"] or "").lower()
    if not size and len(decimals) in (0, 2):
        amounts = ((whole, one, many), (decimals, one_hundredth, hundredths))
        named = [_counted_in_words(n.lstrip("0"), *units) for n, *units in amounts if n.strip("0")]
        return ", ".join(named) or f"zero {many}"
    number = _cardinal(whole, and_word=" ") + (f" point {digits(decimals)}" if decimals else "")
    return " ".join([number, *(SIZES.get(word, word) for word in size.replace("-", " ").split()), many])


def _counted_in_words(n: str, one: str, many: str) -> str:
    return f"{_cardinal(n, and_word=' ')} {one if n == '1' else many}"


def _dollars(amount: str) -> str:
    """Amounts in digits still: "3.50" is "3 dollars, 50 cents", and "3.5" is "3 dollars, 5 cents"."""
    before, *after = amount.split(".")
    if len(after) > 1 or "," in amount:
        return f"{amount} dollars"
    whole, cents = before.lstrip("0"), "".join(after).lstrip("0")
    named = [_counted(n, unit) for n, unit in ((whole, "dollar"), (cents, "cent")) if n]
    return ", ".join(named) or "zero dollars"


def _counted(n: str, unit: str) -> str:
    return f"{n} {unit}" if n == "1" else f"{n} {unit}s"


def _number(text: str) -> str:
    """What is above 1000 and below 3000 is read as a year."""
    written = text.lstrip("0")
    if len(written) == 4 and "1000" < written < "3000" and not "2000" <= written < "2010":
        century, rest = int(written[:2]), int(written[2:])
        return f"{_below_hundred(century)} {_end_of_year(rest)}"
    return _cardinal(text, and_word=" ")


def _end_of_year(n: int) -> str:
    if n == 0:
        return "hundred"
    return f"oh {ONES[n]}" if n < 10 else _below_hundred(n)


def _cardinal(text: str, *, and_word: str) -> str:
    """ "1234567" is "one million, two hundred thirty-four thousand, five hundred sixty-seven"."""
    written = text.lstrip("0")
    if len(written) > 3 * len(THOUSANDS):
        return digits(text)
    n, parts = int(written or "0"), []
    for size in reversed(range(len(THOUSANDS))):
        part = n // 1000**size % 1000
        if part:
            parts.append(_below_thousand(part, and_word) + THOUSANDS[size])
    if len(parts) > 1 and 0 < n % 1000 < 100:
        last = parts.pop()
        parts[-1] += and_word + last
    return ", ".join(parts) or ONES[0]


def _below_thousand(n: int, and_word: str) -> str:
    hundreds, rest = divmod(n, 100)
    if not hundreds:
        return _below_hundred(rest)
    return f"{ONES[hundreds]} hundred" + (and_word + _below_hundred(rest) if rest else "")


def _below_hundred(n: int) -> str:
    if n < 20:
        return ONES[n]
    tens, ones = divmod(n, 10)
    return TENS[tens - 2] + (f"-{ONES[ones]}" if ones else "")

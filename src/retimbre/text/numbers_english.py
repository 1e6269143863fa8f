"""Numbers in digits as English words: the lexicon has no digits, and a voice would skip them."""

import re

ONES = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
GROUPS = ((10**9, "billion"), (10**6, "million"), (1000, "thousand"), (100, "hundred"))
IRREGULAR = {
    "one": "first",
    "two": "second",
    "three": "third",
    "five": "fifth",
    "eight": "eighth",
    "nine": "ninth",
    "twelve": "twelfth",
}
CURRENCIES = {"$": "dollar", "£": "pound", "€": "euro"}
TOO_LARGE = 10**12

WHOLE = r"\d{1,3}(?:,\d{3})+(?!\d)|\d+"
MONEY = re.compile(rf"([$£€])({WHOLE})(?:\.(\d+))?(\s+(?:hundred|thousand|million|billion|trillion))?\b")
ORDINAL = re.compile(rf"\b({WHOLE})(?:st|nd|rd|th)\b", re.IGNORECASE)
TIME = re.compile(r"(?<![\d:.,])([01]?\d|2[0-4]):([0-5]\d)(?![\d:])")
DECADE = re.compile(r"(?<![\d.,])((?:1[1-9]|20)?[1-9]0)['’]?s\b")
YEAR = re.compile(r"(?<![\d.,:])((?:1[1-9]|20)\d\d)(?!\d|[.,:]\d)")
DECIMAL = re.compile(rf"(?<![\d.])({WHOLE})?\.(\d+)(?!\.?\d)")
CARDINAL = re.compile(WHOLE)


def spell_numbers(text: str) -> str:
    """`text` with its numbers as words: money, percent, times, ordinals, years, decimals, whole numbers."""
    if not re.search(r"\d", text):
        return text
    text = re.sub(r"(?<=\d)\s?%", " percent", text)
    text = re.sub(r"(?<![\w.)])[-−](?=[$£€]?\.?\d)", "minus ", text)
    text = MONEY.sub(lambda found: apart(found, money(found[2], found[3], found[1], found[4] or "")), text)
    text = TIME.sub(lambda found: apart(found, _time(int(found[1]), int(found[2]))), text)
    text = ORDINAL.sub(lambda found: ordinal(_value(found[1])), text)
    text = DECADE.sub(lambda found: plural(year(int(found[1]))), text)
    text = YEAR.sub(lambda found: apart(found, year(int(found[1]))), text)
    text = DECIMAL.sub(lambda found: apart(found, decimal(found[1] or "0", found[2])), text)
    return CARDINAL.sub(lambda found: apart(found, whole(found[0])), text)


def cardinal(n: int) -> str:
    """21 is "twenty one", without the hyphen that a voice may read as a pause."""
    if n < 20:
        return ONES[n]
    if n < 100:
        return TENS[n // 10 - 2] + (f" {ONES[n % 10]}" if n % 10 else "")
    size, name = next(group for group in GROUPS if n >= group[0])
    rest = f" {cardinal(n % size)}" if n % size else ""
    return f"{cardinal(n // size)} {name}{rest}"


def ordinal(n: int) -> str:
    """21 is "twenty first"."""
    return as_ordinal(cardinal(n))


def as_ordinal(words: str) -> str:
    """ "twenty one" is "twenty first", with a hyphen between them, too."""
    head, last = re.fullmatch(r"(.*?)([a-z]+)", words).groups()  # type: ignore[union-attr]
    if last in IRREGULAR:
        return head + IRREGULAR[last]
    return head + (last[:-1] + "ieth" if last.endswith("y") else last + "th")


def plural(words: str) -> str:
    """ "ninety" is "nineties"."""
    if words.endswith("y"):
        return words[:-1] + "ies"
    return words + ("es" if words.endswith("x") else "s")


def digits(text: str) -> str:
    """Each digit alone: "007" is "zero zero seven"."""
    return " ".join(ONES[int(digit)] for digit in text)


def whole(text: str) -> str:
    """A whole number as it is written; one that begins with a zero or is very long is read digit by digit."""
    is_identifier = text[0] == "0" and len(text) > 1
    return (
        digits(text.replace(",", ""))
        if is_identifier or _value(text) >= TOO_LARGE
        else cardinal(_value(text))
    )


def decimal(before: str, after: str) -> str:
    """ "3", "14" is "three point one four"."""
    return f"{whole(before)} point {digits(after)}"


def year(n: int) -> str:
    """1984 is "nineteen eighty four", 1905 "nineteen oh five", 2007 "two thousand seven"."""
    century, rest = divmod(n, 100)
    if n < 1100 or 2000 <= n < 2010:
        return cardinal(n)
    if rest == 0:
        return f"{cardinal(century)} hundred"
    return f"{cardinal(century)} {_two_digits(rest)}"


def money(amount: str, after_point: str | None, sign: str, size: str) -> str:
    """$5.20 is "five dollars twenty"; with the `size` " million", "five point two zero million dollars"."""
    unit = CURRENCIES[sign]
    is_cents = after_point is not None and len(after_point) == 2 and not size
    number = whole(amount) if after_point is None or is_cents else decimal(amount, after_point)
    name = unit if number == "one" and not size else plural(unit)
    cents = f" {_two_digits(int(after_point))}" if is_cents and after_point and int(after_point) else ""
    return f"{number}{size} {name}{cents}"


def _time(hour: int, minute: int) -> str:
    return cardinal(hour) + (f" {_two_digits(minute)}" if minute else "")


def _two_digits(n: int) -> str:
    return f"oh {cardinal(n)}" if n < 10 else cardinal(n)


def _value(text: str) -> int:
    return int(text.replace(",", ""))


def apart(found: re.Match[str], words: str) -> str:
    """`words` with a space where a letter touches the number: "mp3" is "mp three"."""
    before, after = found.string[: found.start()][-1:], found.string[found.end() :][:1]
    return " " * before.isalpha() + words + " " * after.isalpha()

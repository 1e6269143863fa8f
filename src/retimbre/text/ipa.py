"""IPA as symbols: a letter together with the marks that belong to it.

EveryVoice splits what the g2p library writes in this way, so these symbols are the rows of its checkpoints:
an affricate without a tie bar is two symbols ("t", "ʃ"), one with a tie bar is one, and "ɜ˞" is one.
"""

import unicodedata
from typing import Literal

TIE_BARS = "\u0361\u035c"  # above, below
STRESS = "ˈˌ"  # modifier letters by their category, here symbols of their own
CHAO_LETTERS = "˥˦˧˨˩"
ARROWS = "↗↘"
ACCENTS = "\u030b\u0301\u0304\u0300\u030f\u030c\u0302\u1dc4\u1dc5\u1dc8"  # tones above a letter
UNSPOKEN = "|‿"  # a minor break and a linking: the splitting of EveryVoice drops both
C_CEDILLA = "ç"  # the one letter of the IPA that stays composed

Form = Literal["NFC", "NFD", "NFKC", "NFKD"]


def split_ipa(text: str, form: Form | None = "NFC") -> tuple[str, ...]:
    """The symbols of `text`, each in the Unicode form `form`; None leaves them decomposed.

    Of white space only the simple space remains, as a symbol.
    """
    text = unicodedata.normalize("NFD", text).replace("c\u0327", C_CEDILLA)
    symbols = _joined(text)
    return tuple(unicodedata.normalize(form, symbol) if form else symbol for symbol in symbols)


def with_marks(text: str, *, is_ipa: bool) -> tuple[str, ...]:
    """The signs of `text`, each with the marks that belong to it, in the Unicode form in which they come.

    Args:
        is_ipa: Do modifier letters belong to the letter before them, too?
    """
    if is_ipa:
        return tuple(_joined(text))
    signs: list[str] = []
    for char in text:
        if signs and unicodedata.category(char)[0] == "M":
            signs[-1] += char
        else:
            signs.append(char)
    return tuple(signs)


def _joined(text: str) -> list[str]:
    symbols: list[str] = []
    before = " "
    for char in text:
        if symbols and _joins(char, before):
            symbols[-1] += char
        elif char == " " or not (char.isspace() or char in UNSPOKEN):
            symbols.append(char)
        before = char
    return symbols


def _joins(char: str, before: str) -> bool:
    """Does `char` belong to the same symbol as the character before it?"""
    if before.isspace() or char in STRESS:
        return False
    if _is_tone_letter(char):
        return before in ACCENTS or _is_tone_letter(before)
    category = unicodedata.category(char)
    if category in ("Ll", "Lo", "Lt", "Lu"):
        return before in TIE_BARS
    return category in ("Lm", "Mn", "Sk")


def _is_tone_letter(char: str) -> bool:
    return char in CHAO_LETTERS or char in ARROWS or "\ua700" <= char <= "\ua71f"

"""ARPAbet -> IPA, in the symbols that EveryVoice's checkpoints were trained on.

A vowel's digit says its stress; the mark is written right before the vowel, not before the syllable. White
space and punctuation stay as they are: a space is a symbol of its own, so the phones of one word are written
without spaces between them ("HHAH0LOW1 WER1LD") unless a model was trained otherwise.
"""

import re
from collections.abc import Mapping

from retimbre.errors import TextError

STRESSES: Mapping[str, str] = {"": "", "0": "", "1": "ˈ", "2": "ˌ"}
VOWELS: Mapping[str, str] = {
    "AA": "ɑ", "AE": "æ", "AH": "ʌ", "AO": "ɔ", "AW": "aʊ", "AX": "ə", "AXR": "ər", "AY": "aɪ", "EH": "e",
    "ER": "ɜr", "EY": "eɪ", "IH": "ɪ", "IY": "i", "OW": "oʊ", "OY": "ɔɪ", "UH": "ʊ", "UW": "u",
}  # fmt: skip
CONSONANTS: Mapping[str, str] = {
    "B": "b", "D": "d", "DH": "ð", "F": "f", "G": "g", "HH": "h", "K": "k", "L": "l", "M": "m", "N": "n",
    "NG": "ŋ", "P": "p", "R": "r", "S": "s", "SH": "ʃ", "T": "t", "TH": "θ", "V": "v", "W": "w", "Y": "j",
    "Z": "z", "ZH": "ʒ",
    "CH": "tʃ", "JH": "dʒ",  # EveryVoice has none for these two and drops them
}  # fmt: skip
TABLE: Mapping[str, str] = {
    **CONSONANTS,
    **{vowel + digit: mark + ipa for vowel, ipa in VOWELS.items() for digit, mark in STRESSES.items()},
    "AH0": "ə",
}
SYMBOL = re.compile("|".join(sorted(TABLE, key=len, reverse=True)))
REST = re.compile(r"[A-Za-z0-9]+")


def phones_of_arpabet(text: str) -> str:
    """`text` with every ARPAbet symbol as IPA.

    Raises:
        TextError: if letters or digits are left that are no ARPAbet.
    """
    unknown = REST.findall(SYMBOL.sub(" ", text))
    if unknown:
        raise TextError(
            f"there is no ARPAbet symbol {' '.join(dict.fromkeys(unknown))} (in '{text[:60]}')",
            expected="symbols such as HH AH0 L OW1, in capitals",
            do="write them so, or choose another --text-representation",
        )
    return SYMBOL.sub(lambda found: TABLE[found.group()], text)

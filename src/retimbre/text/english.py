"""English words that the lexicon lacks: by their stems, their letters' names, and at last by letter-to-sound.

A lexicon is a function here: the phones of a word, or "" where it has none. Phones are those of the CMU
Pronouncing Dictionary in IPA, without stress.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping

from retimbre.text.numbers_english import spell_numbers

Lexicon = Callable[[str], str]

VOWEL_LETTERS = "aeiouy"
SIBILANTS = tuple("szʃʒ")
VOICELESS = tuple("ptkfθ")
SHORTEST_STEM = 3
LONGEST_CAPITALS = 3  # words; capitals throughout a longer text mark no abbreviations
READABLE = re.compile(r"[^aeiouy]?([aeiouy][^aeiouy]){2,}[aeiouy]?|[^aeiouy]([aeiouy][^aeiouy])+[aeiouy]")

TITLE = re.compile(r"\b(Dr|St)\b\.?(?=\s+[A-Z])")
TITLES: Mapping[str, str] = {"Dr": "doctor", "St": "saint"}
APOSTROPHE = re.compile(r"(?<=\w)[’ʼ](?=\w)")
CAPITAL_INSIDE = re.compile(r"(?<=[a-z])(?=[A-Z])")  # "YouTube", "EveryVoice"
AMPERSAND = re.compile(r"\s*&\s*")

CLITICS: Mapping[str, str] = {"'ll": "ʌl", "'ve": "ʌv", "'re": "ɜ˞"}
ENDINGS: Mapping[str, str] = {
    "ings": "ɪŋz",
    "ing": "ɪŋ",
    "ers": "ɜ˞z",
    "er": "ɜ˞",
    "est": "ʌst",
    "ly": "li",
    "ness": "nʌs",
    "less": "lʌs",
    "ful": "fʌl",
    "ment": "mʌnt",
    "ments": "mʌnts",
    "able": "ʌbʌl",
    "ish": "ɪʃ",
    "like": "laɪk",
}
BEGINNINGS: Mapping[str, str] = {
    "un": "ʌn",
    "non": "nɑn",
    "over": "oʊvɜ˞",
    "under": "ʌndɜ˞",
    "inter": "ɪntɜ˞",
    "super": "supɜ˞",
    "micro": "maɪkɹoʊ",
    "counter": "kaʊntɜ˞",
}


def spell_out(text: str) -> str:
    """`text` with its numbers, titles and "&" as words, and with plain apostrophes inside words."""
    text = APOSTROPHE.sub("'", text)
    text = AMPERSAND.sub(" and ", text)
    text = TITLE.sub(_title, text)
    if text.islower():  # a rule took the capitals: more doctors than drives are spoken of
        text = re.sub(r"\bdr\.(?=\s+[a-z])", "doctor", text)
    if text.isupper() and len(text.split()) > LONGEST_CAPITALS:
        text = text.lower()
    return spell_numbers(text)


def guess(word: str, lexicon: Lexicon) -> str:
    """How a word that the lexicon lacks is said; "" if it has no Latin letter."""
    parts = CAPITAL_INSIDE.split(word)
    if len(parts) > 1 and all(len(part) >= SHORTEST_STEM for part in parts):
        return "".join(lexicon(part.lower()) or guess(part, lexicon) for part in parts)
    if is_abbreviation(word):
        return say_letters(word, lexicon)
    plain = _plain(word)
    return lexicon(plain) or from_stem(plain, lexicon) or _by_letters(plain)


def is_abbreviation(word: str) -> bool:
    """Is the word read letter by letter? "NVLA", "DVDs" and "kg" are; "COVID" and "hmm" are not."""
    match = re.fullmatch(r"([A-Z]{2,5})(s|'s)?", word)
    if match is not None:
        return len(match[1]) <= 3 or READABLE.fullmatch(match[1].lower()) is None
    letters = _plain(word)
    return letters.isalpha() and not set(letters) & set(VOWEL_LETTERS) and len(set(letters)) == len(letters)


def say_letters(word: str, lexicon: Lexicon) -> str:
    """The names of the letters; a small plural or possessive s after them is said as one."""
    capitals = word if word.islower() else word.rstrip("s'")
    # "a." is the letter; "a" is the article.
    names = "".join(lexicon(f"{letter}.") for letter in capitals.lower())
    return names + (sound_of_s(names) if len(capitals) < len(word) else "")


def from_stem(word: str, lexicon: Lexicon) -> str:
    """A known stem with an ending or a beginning; "" if the word is none."""
    # Not as two known words: the lexicon is so full of names that letter-to-sound reads "loveland" better.
    return _with_clitic(word, lexicon) or _with_ending(word, lexicon) or _with_beginning(word, lexicon)


def sound_of_s(stem: str) -> str:
    """The s of a plural, a possessive or a third person, after these phones."""
    if stem.endswith(SIBILANTS):
        return "ɪz"
    return "s" if stem.endswith(VOICELESS) else "z"


def sound_of_ed(stem: str) -> str:
    """The ed of a past, after these phones."""
    if stem.endswith(("t", "d")):
        return "ɪd"
    return "t" if stem.endswith((*VOICELESS, "s", "ʃ")) else "d"


def _title(found: re.Match[str]) -> str:
    """The title in full, unless a name before it makes it a street: the lexicon reads those well."""
    text = found.string
    before = re.findall(r"\S+", text[: found.start()])
    if len(before) > 1 and before[-1][:1].isupper() and before[-1].isalpha() and before[-2][-1] not in ".!?:":
        return found[0]
    return TITLES[found[1]]


def _plain(word: str) -> str:
    """Small letters a to z and inner apostrophes: "Café" gives "cafe"."""
    letters = unicodedata.normalize("NFKD", word.lower()).replace("ß", "ss").replace("æ", "ae")
    return re.sub(r"[^a-z']", "", letters.replace("ø", "o").replace("œ", "oe").replace("ł", "l"))


def _by_letters(word: str) -> str:
    from retimbre.text.letter_to_sound import sound_out  # torch loads here, for the first unknown word

    return sound_out(word.replace("'", ""))


def _with_clitic(word: str, lexicon: Lexicon) -> str:
    """A name may be unknown and still have a possessive: the stem is guessed as well."""
    stem, mark, ending = word.partition("'")
    if not stem or f"{mark}{ending}" not in {*CLITICS, "'s", "'d"}:
        return ""
    said = lexicon(stem) or guess(stem, lexicon)
    if ending == "s":
        return said + sound_of_s(said)
    if ending == "d":
        return said + sound_of_ed(said)
    return said + CLITICS.get(f"'{ending}", "")


def _with_ending(word: str, lexicon: Lexicon) -> str:
    if word.endswith("s") and (said := _first_known(_stems_before_s(word), lexicon)):
        return said + sound_of_s(said)
    if word.endswith("ed") and (said := _first_known(_stems(word, "ed"), lexicon)):
        return said + sound_of_ed(said)
    for ending, sound in ENDINGS.items():
        if word.endswith(ending) and (said := _first_known(_stems(word, ending), lexicon)):
            return said + (sound[1:] if ending == "ly" and said.endswith("l") else sound)
    return ""


def _with_beginning(word: str, lexicon: Lexicon) -> str:
    for beginning, sound in BEGINNINGS.items():
        rest = word.removeprefix(beginning)
        if (
            rest != word
            and len(rest) >= SHORTEST_STEM
            and (said := lexicon(rest) or _with_ending(rest, lexicon))
        ):
            return sound + said
    return ""


def _first_known(stems: Iterator[str], lexicon: Lexicon) -> str:
    return next((said for stem in stems if len(stem) >= SHORTEST_STEM and (said := lexicon(stem))), "")


def _stems_before_s(word: str) -> Iterator[str]:
    if word.endswith("ies"):
        yield word[:-3] + "y"
    if not word.endswith(("ss", "us", "is")):
        yield word[:-1]
    if word.endswith("es"):
        yield word[:-2]


def _stems(word: str, ending: str) -> Iterator[str]:
    """What may stand before `ending`: hop in hopping, hope in hoping, happy in happily, sing in singing."""
    stem = word.removesuffix(ending)
    if stem.endswith("i"):
        yield stem[:-1] + "y"
    if ending[0] not in VOWEL_LETTERS or ending == "ish":
        yield stem
        return
    is_short = re.search(r"(^|[^aeiou])[aeiou][^aeiouwxy]$", stem) is not None
    yield from (stem + "e", stem) if is_short else (stem, stem + "e")
    if len(stem) > 1 and stem[-1] == stem[-2]:
        yield stem[:-1]

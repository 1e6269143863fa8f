"""English words that a lexicon lacks, by a lexicon of a few words."""

import pytest

from retimbre.text.english import from_stem, guess, is_abbreviation, sound_of_ed, sound_of_s, spell_out

WORDS = {
    "cat": "kæt",
    "dog": "dɔɡ",
    "match": "mætʃ",
    "hope": "hoʊp",
    "hop": "hɑp",
    "sing": "sɪŋ",
    "singe": "sɪndʒ",
    "happy": "hæpi",
    "wait": "weɪt",
    "real": "ɹil",
    "carry": "kæɹi",
    "d.": "di",
    "v.": "vi",
    "naive": "naɪiv",
    "every": "ɛvɹi",
    "voice": "vɔɪs",
}


def lexicon(word: str) -> str:
    return WORDS.get(word, "")


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("cats", "kæts"),
        ("dogs", "dɔɡz"),
        ("matches", "mætʃɪz"),
        ("hoping", "hoʊpɪŋ"),
        ("hopping", "hɑpɪŋ"),
        ("singing", "sɪŋɪŋ"),
        ("happily", "hæpili"),
        ("unhappy", "ʌnhæpi"),
        ("waited", "weɪtɪd"),
        ("hoped", "hoʊpt"),
        ("carried", "kæɹid"),
        ("carries", "kæɹiz"),
        ("really", "ɹili"),
        ("dog's", "dɔɡz"),
        ("cat'll", "kætʌl"),
    ],
)
def test_a_known_stem_gives_its_inflections(word, said):
    assert from_stem(word, lexicon) == said


@pytest.mark.parametrize("word", ["zorblax", "bus", "as", "dress"])
def test_a_word_without_a_known_stem_is_left_to_others(word):
    assert from_stem(word, lexicon) == ""


@pytest.mark.parametrize(
    ("stem", "s"), [("kæt", "s"), ("dɔɡ", "z"), ("mætʃ", "ɪz"), ("si", "z"), ("bæθ", "s")]
)
def test_s_sounds_as_the_phone_before_it_asks(stem, s):
    assert sound_of_s(stem) == s


@pytest.mark.parametrize(
    ("stem", "ed"), [("weɪt", "ɪd"), ("hoʊp", "t"), ("kɪs", "t"), ("bʌz", "d"), ("pleɪ", "d")]
)
def test_ed_sounds_as_the_phone_before_it_asks(stem, ed):
    assert sound_of_ed(stem) == ed


@pytest.mark.parametrize("word", ["NVLA", "DVDs", "CEO's", "IEEE", "kg", "mp"])
def test_an_abbreviation_is_read_by_its_letters(word):
    assert is_abbreviation(word)


@pytest.mark.parametrize("word", ["COVID", "FIFA", "UNESCO", "hmm", "Zorblax", "it's", "shy", "thé"])
def test_what_can_be_read_is_no_abbreviation(word):
    assert not is_abbreviation(word)


def test_letters_have_their_names_and_a_plural():
    assert guess("DVDs", lexicon) == "dividiz"


def test_a_capital_inside_begins_a_word():
    assert guess("EveryVoice", lexicon) == "ɛvɹivɔɪs"


def test_accents_are_dropped_where_the_lexicon_has_none():
    assert guess("naïve", lexicon) == "naɪiv"


@pytest.mark.parametrize("word", ["Привет", "漢字", "²"])
def test_other_scripts_are_not_guessed(word):
    assert guess(word, lexicon) == ""


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("Dr. Smith", "doctor Smith"),
        ("Ask Dr. Smith.", "Ask doctor Smith."),
        ("near St. Ives", "near saint Ives"),
        ("at Elm Dr. The end", "at Elm Dr. The end"),
        ("the dr. smith", "the doctor smith"),
        ("it is in Main St.", "it is in Main St."),
        ("R&D", "R and D"),
        ("rock & roll", "rock and roll"),
        ("don’t", "don't"),
        ("the dogs’ bowls", "the dogs’ bowls"),
        ("IT IS VERY LATE", "it is very late"),
        ("BBC NEWS", "BBC NEWS"),
    ],
)
def test_titles_and_signs_are_words(text, read):
    assert spell_out(text) == read

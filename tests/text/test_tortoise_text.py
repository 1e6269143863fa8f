"""English texts become what tortoise-tts 3.0.0 makes of them, and nothing of a text is lost without a word.

`text.json` holds what it makes of each of its texts: `TORTOISE_READS` and `TORTOISE_CUTS`, run on them in an
environment with tortoise-tts 3.0.0, unidecode 1.4.0, inflect 7.6.0 and tokenizers 0.13.3. Where the variable
TORTOISE_PYTHON names such a Python, they are run again, and on many texts more.
"""

import json
import random
import re
import unicodedata
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from building.tortoise_itself import ask_tortoise, needs_tortoise
from retimbre.text.bpe import UNKNOWN, Vocabulary
from retimbre.text.readable import read
from retimbre.text.split import tortoise_pieces
from retimbre.text.tortoise_english import ABBREVIATIONS, clean_english, speak_signs
from retimbre.text.transliterate import transliterate

PAGE = Path(__file__).parents[2] / "docs/tortoise-text.md"
FACTS = json.loads((Path(__file__).parents[1] / "fixtures/tortoise/text.json").read_text(encoding="utf-8"))
VOCABULARY = Vocabulary.tortoise()
TORTOISE_READS = """
import json, sys
from inflect import NumOutOfRangeError
from tortoise.utils.tokenizer import VoiceBpeTokenizer
tokenizer, read = VoiceBpeTokenizer(), []
for text in json.load(sys.stdin):
    try:
        read.append([tokenizer.preprocess_text(text), tokenizer.encode(text)])
    except (NumOutOfRangeError, ValueError):  # numbers from 10^36 on, and amounts as "$,5"
        read.append(None)
json.dump(read, sys.stdout)
"""
TORTOISE_CUTS = """
import json, sys
from tortoise.utils.text import split_and_recombine_text
json.dump([split_and_recombine_text(text) for text in json.load(sys.stdin)], sys.stdout)
"""
UNIDECODE = """
import json, sys, warnings
from unidecode import unidecode
warnings.simplefilter("ignore")
json.dump([unidecode(text) for text in json.load(sys.stdin)], sys.stdout)
"""
NUMBERS = [*"0123456789" * 2, *",.$£€%&-:'\"!?;/()[]# \n\t", "00", "000", "1,", ".5", "199", "200", "1000"]
WORDS = [
    "st",
    "nd",
    "rd",
    "th",
    " a",
    "B",
    "é",
    "“",
    "…",
    "—",
    "½",
    "№",
    "\u00a0",
    *(f" {a}." for a in ABBREVIATIONS),
]
IN_USE = [
    (0x20, 0x250),
    (0x370, 0x3F4),
    (0x1E00, 0x1E9B),
    (0x2000, 0x204A),
    (0x20A0, 0x20B3),
    (0x2150, 0x2184),
]
SIGNS = "£€%&"  # spoken on purpose where tortoise-tts makes no words of them
SPOKEN = [  # written, read, and what tortoise-tts makes of it
    ("£5", "five pounds", "psfive"),
    ("£1", "one pound", "psone"),
    ("£ 5", "five pounds", "ps five"),
    ("£0.50", "fifty pence", "pszero point fifty"),
    ("£1.01", "one pound, one penny", "psone point one"),
    ("£1,000.50", "one thousand pounds, fifty pence", "psone thousand point fifty"),
    ("£1,984", "one thousand, nine hundred eighty-four pounds", "psnineteen eighty-four"),
    ("£5 million", "five million pounds", "psfive million"),
    ("£5m", "five million pounds", "psfivem"),
    ("£1.25bn", "one point two five billion pounds", "psone point twenty-fivebn"),
    ("a £2-hundred-thousand house", "a two hundred thousand pounds house", "a pstwo-hundred-thousand house"),
    ("£50pp", "fifty pounds pp", "psfiftypp"),
    ("€20", "twenty euros", "eurtwenty"),
    ("20 €", "twenty euros", "twenty eur"),
    ("20€", "twenty euros", "twentyeur"),
    ("20\u202f€.", "twenty euros.", "twenty eur."),
    ("€1.05", "one euro, five cents", "eurone point five"),
    ("5 million €", "five million euros", "five million eur"),
    ("in 2020 £5 & €6", "in twenty twenty five pounds and six euros", "in twenty twenty psfive & eursix"),
    ("50%", "fifty percent", "fifty%"),
    ("50 %", "fifty percent", "fifty %"),
    ("½% or 5.5%", " one/two percent or five point five percent", " one/two% or five point five%"),
    ("R&B", "r and b", "r&b"),
    ("AT&T", "at and t", "at&t"),
    ("Smith & Co.", "smith and company", "smith & company"),
    ("“A” & “B”", "a and b", "a & b"),
]
NOT_SPOKEN = {  # it cannot be known what they stand for: as in tortoise-tts, and named
    "£ and €": ("ps and eur", "£€"),
    "£1.2.3": ("psone point two.three", "£"),
    "1.2.3 €": ("one point two.three eur", "€"),
    "€1,50": ("eurone hundred fifty", "€"),
    "£1,00,000": ("psone hundred thousand", "£"),
    "10€50": ("teneurfifty", "€"),
    "in 2020 € 5": ("in twenty twenty eur five", "€"),
    "£1½": ("psone one/two", "£½"),
    "%": ("%", "%"),
    "a%b 50%20": ("a%b fifty%twenty", "%"),
    "& so": ("& so", "&"),
    "f#&k": ("f#&k", "#&"),
    "kings, &c.": ("kings, &c.", "&"),
    "R&amp;B": ("r&amp;b", "&"),
}
ENDS = {  # the words between which a text is cut; in `text.json` is where tortoise-tts cuts it
    "a quotation that opens where a piece is too long": "said. / Mary",
    "a last mark without a partner": "went. / Mary",
    "a speech over two paragraphs": "again. / Mary",
    "a title": "Jones. / mary",
    "a sign in brackets": "went. / mary",
    "a number": "is / 3.1415926",
    "a run of signs": "a / lot!!!!!!",
    "a long word": "snow / xxxxxxxxx",
    "an accent": "e\u0301" * 4 + "a / e\u0301e\u0301e\u0301e\u0301e",
    "an address": "little / lamb",
    "the writer's own cuts": "One. / Two,",
}


@pytest.mark.parametrize("case", FACTS["read"], ids=lambda case: case["text"])
def test_a_text_is_read_as_tortoise_reads_it(case):
    seen = read(case["text"], VOCABULARY)

    assert seen.text == clean_english(case["text"]) == case["cleaned"]
    assert list(seen.rows) == case["rows"]
    assert bool(seen.unknown) == (VOCABULARY.row_of[UNKNOWN] in case["rows"])
    assert all(f'"{sign}"' in seen.notes()[0] for sign in seen.unknown)


@pytest.mark.parametrize(("text", "cleaned", "in_tortoise"), SPOKEN, ids=lambda text: text)
def test_signs_that_no_network_can_say_are_spoken_as_words_unlike_in_tortoise(text, cleaned, in_tortoise):
    seen = read(text, VOCABULARY)

    assert seen.text == clean_english(text) == cleaned != in_tortoise
    assert not any(sign in note for note in seen.notes() for sign in SIGNS)
    assert not any(sign in SIGNS for sign, _ in seen.changed)


@pytest.mark.parametrize(("text", "expected"), NOT_SPOKEN.items(), ids=list(NOT_SPOKEN))
def test_such_a_sign_that_stands_for_no_word_is_left_and_named(text, expected):
    cleaned, named = expected
    seen = read(text, VOCABULARY)

    assert seen.text == cleaned
    assert all(f'"{sign}"' in " ".join(seen.notes()) for sign in named)


@given(st.text(alphabet="".join(NUMBERS) + "abkm é½²\u00a0", max_size=30))
def test_speaking_signs_takes_nothing_else_out_of_a_text_and_leaves_one_without_them(text):
    letters = [sign for sign in text if sign in "é½²$#?:"]
    without = "".join(sign for sign in text if sign not in SIGNS)

    assert [sign for sign in speak_signs(text) if sign in "é½²$#?:"] == letters
    assert speak_signs(without) == without


def test_the_table_has_sixty_lines_of_each_kind_that_a_text_may_hold():
    texts = [case["text"] for case in FACTS["read"]]

    assert len(set(texts)) == len(texts) >= 60
    assert all(any(f"{short}." in text.lower() for text in texts) for short in ABBREVIATIONS)


@pytest.mark.parametrize("case", FACTS["cut"], ids=lambda case: case["text"][:30])
def test_a_text_is_cut_where_tortoise_cuts_it(case):
    assert list(tortoise_pieces(case["text"])) == case["pieces"]


@pytest.mark.parametrize("case", FACTS["cut_otherwise"], ids=lambda case: case["why"])
def test_where_tortoise_cuts_badly_the_cut_is_elsewhere(case):
    pieces = tortoise_pieces(case["text"])
    ends = [f"{before.split()[-1][-9:]} / {after.split()[0][:9]}" for before, after in pairwise(pieces)]

    assert list(pieces) != case["pieces"]
    assert ENDS[case["why"]] in ends


def test_the_page_about_it_tells_what_becomes_of_a_text():
    rows = re.findall(r"^\| `([^`]+)` \| `([^`]+)` \|", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)

    assert len(rows) > 20
    for written, spoken in rows:
        assert clean_english(written) == spoken


def test_two_spaces_around_a_removed_quotation_mark_are_two_pieces_as_in_tortoise():
    two = [VOCABULARY.row_of[piece] for piece in ("a", "[SPACE]", "[SPACE]", "b")]

    assert list(read('a " b', VOCABULARY).rows) == two
    assert VOCABULARY.encode("a  b", is_clean=True) == two != VOCABULARY.encode("a  b")


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("1" * 37, " ".join(["one"] * 37)),
        ("1" * 5000 + "th", " ".join(["one"] * 4999 + ["first"])),
        ("$,5 and $1,.5", ",five dollars and one,.five dollars"),
        ("$" + "9" * 5000, " ".join(["nine"] * 5000) + " dollars"),
    ],
)
def test_what_tortoise_stops_at_is_read(text, cleaned):
    assert clean_english(text) == cleaned


@given(st.text(max_size=30) | st.text(alphabet="".join(NUMBERS), max_size=30))
def test_a_cleaned_text_has_no_digit_no_capital_and_nothing_but_ascii(text):
    cleaned = clean_english(text)

    assert cleaned.isascii()
    assert not any(sign.isdigit() or sign.isupper() or sign == '"' for sign in cleaned)


@given(st.text(max_size=30), st.sampled_from(["en", "de"]))
def test_every_unknown_piece_is_a_sign_that_is_named(text, language):
    seen = read(text, VOCABULARY, language=language)
    n_unknown = seen.rows.count(VOCABULARY.row_of[UNKNOWN])

    assert n_unknown == sum(seen.text.count(sign) for sign in seen.unknown)
    assert all(
        any(sign in note or f"U+{ord(sign):04X}" in note for note in seen.notes()) for sign in seen.unknown
    )


@given(st.text(max_size=30))
def test_every_sign_outside_ascii_is_named_or_only_of_another_shape(text):
    changed = read(text, VOCABULARY).changed

    for sign in speak_signs(text):
        is_named = any(sign in named for named, _ in changed)
        is_shape = unicodedata.category(sign)[0] in "ZP" and transliterate(sign) != ""
        assert is_named or is_shape or sign.isspace() or unicodedata.normalize("NFKC", sign).lower().isascii()


def test_notes_name_what_a_listener_may_miss_each_sign_once():
    seen = read("% é e\u0301 £ 🙂🙂 “so” – & 5%%, £5", VOCABULARY)

    assert seen.unknown == ("%", "&")
    assert seen.changed == (("é", "e"), ("e\u0301", "e"), ("£", "ps"), ("🙂", ""), ("“", ""), ("”", ""))
    assert seen.notes() == (
        'the voice does not know "%", "&": write it in words',
        'read with other signs: "é" as "e", "e\u0301" as "e", "£" as "ps"; '
        "where that sounds wrong, write it in words",
        'left out, because no letters stand for it: "🙂"',
    )


def test_signs_that_no_voice_says_are_in_the_changes_and_make_no_note():
    seen = read('\ufeff"No\u00adthing", he\u200b said…', VOCABULARY)

    assert seen.text == "nothing, he said..."
    assert [sign for sign, _ in seen.changed] == ["\ufeff", '"', "\u00ad", "\u200b"]
    assert seen.notes() == ()


def test_another_shape_of_a_sign_is_no_change():
    assert read("a\u00a0b\u2003c – ﬁne … ｗ １ ’s", VOCABULARY).changed == ()


def test_a_mark_that_is_read_as_a_number_is_a_change():
    assert read("5‰", VOCABULARY).changed == (("‰", "%0"),)


def test_a_sign_that_cannot_be_seen_is_named_in_the_note():
    assert read("a\x07", VOCABULARY).notes() == ("the voice does not know U+0007: write it in words",)
    assert "U+E000" in read("\ue000", VOCABULARY).notes()[0]


def test_other_languages_keep_their_letters_and_have_their_unknown_ones_named():
    seen = read("Für  50 ÖRE", VOCABULARY, language="de")

    assert seen.text == "für 50 öre"
    assert seen.changed == ()
    assert seen.unknown == ("ü", "5", "0", "ö")


@pytest.mark.parametrize("language", ["en", "eng", "en-GB", "EN_us"])
def test_english_has_several_codes(language):
    assert read("Dr. 5", VOCABULARY, language=language).text == "doctor five"


def test_a_text_without_letters_is_silent():
    assert read("… ?!", VOCABULARY).is_silent
    assert read('"🙂"', VOCABULARY).is_silent
    assert not read("5", VOCABULARY).is_silent


@pytest.mark.parametrize(
    ("sign", "letters"),
    [
        ("1½", "1 1/2"),
        ("𝐁old", "Bold"),
        ("ᴀʙ", "AB"),
        ("ⓐ⓫", "a11"),
        ("ｗｉｄｅ", "wide"),
        ("5−3", "5-3"),
        ("a\u205fb", "a b"),
        ("≠", ""),
        ("\ud800", ""),
        ("\x00", "\x00"),
    ],
)
def test_signs_that_the_older_tables_lack_are_found(sign, letters):
    assert transliterate(sign) == letters


def asked(question, texts):
    """What tortoise-tts, or a package that it uses, makes of the texts."""
    return json.loads(ask_tortoise(question, given=json.dumps(texts)))


@pytest.mark.slow
@needs_tortoise
def test_tortoise_itself_reads_thousands_of_texts_the_same():
    chance = random.Random(6)
    parts = [part for part in NUMBERS + WORDS if part not in SIGNS]
    texts = ["".join(chance.choices(parts, k=chance.randint(1, 14))) for _ in range(8000)]
    texts += [f"{n} {n}th ${n / 100}" for n in range(3300)]
    texts += [f"{chance.randrange(10 ** chance.randint(1, 36)):,}" for _ in range(2000)]
    texts += [case["text"] for case in FACTS["read"]]
    spoken = asked(TORTOISE_READS, [text for text, *_ in SPOKEN])
    answers = asked(TORTOISE_READS, texts)

    assert [cleaned for cleaned, _ in spoken] == [in_tortoise for *_, in_tortoise in SPOKEN]
    assert sum(answer is None for answer in answers) < 30
    for text, answer in zip(texts, answers, strict=True):
        seen = read(text, VOCABULARY)
        assert answer is None or [seen.text, list(seen.rows)] == answer, text
    assert [list(pair) for pair in answers[-len(FACTS["read"]) :]] == [
        [case["cleaned"], case["rows"]] for case in FACTS["read"]
    ]


@pytest.mark.slow
@needs_tortoise
def test_tortoise_itself_cuts_thousands_of_texts_at_the_same_places():
    chance = random.Random(7)
    texts = [sentences(chance, quoted=0.2 * (n % 2)) for n in range(6000)]
    answers = asked(TORTOISE_CUTS, texts + [case["text"] for case in FACTS["cut"] + FACTS["cut_otherwise"]])
    other = [
        text
        for text, pieces in zip(texts, answers[: len(texts)], strict=True)
        if list(tortoise_pieces(text)) != pieces
    ]

    assert answers[len(texts) :] == [case["pieces"] for case in FACTS["cut"] + FACTS["cut_otherwise"]]
    assert all('"' in text for text in other)
    assert len(other) < 60  # where a piece grew too long right at a quotation mark


def sentences(chance, quoted):
    """A text of which this share of sentences are quotations, without what is cut otherwise on purpose."""
    written = []
    for _ in range(chance.randint(1, 30)):
        words = [
            "".join(chance.choices("abcdefgh", k=chance.randint(1, 9))) for _ in range(chance.randint(1, 12))
        ]
        sentence = " ".join(words) + chance.choice([".", "!", "?", ";", ",", ""])
        written.append(f'"{sentence}"' if chance.random() < quoted else sentence)
    return chance.choice([" ", "\n", "  "]).join(written)


@pytest.mark.slow
@needs_tortoise
def test_signs_that_english_texts_are_written_with_are_those_of_unidecode():
    signs = [chr(code) for first, last in IN_USE for code in range(first, last)]
    signs = [sign for sign in signs if unicodedata.category(sign) != "Cn"]

    assert len(signs) > 900
    for sign, theirs in zip(signs, asked(UNIDECODE, signs), strict=True):
        assert not theirs or transliterate(sign).lower() == theirs.lower(), sign

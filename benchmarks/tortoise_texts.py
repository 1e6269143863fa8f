"""Sentences for synthetic voices: drawn from word lists of our own with a seed, free of anybody's rights.

They make little sense, and many sounds next to many others.
"""

import random
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

SHORTEST_CHARACTERS, LONGEST_CHARACTERS = 28, 140
N_SHARED_WORDS = 4  # so many words in a row are no accident any more
TRANSLITERATED = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue", "ß": "ss"})

Words = Mapping[str, str]  # kind -> words with | between them

ENGLISH: Words = {
    "who": (
        "the baker|my neighbour|an old sailor|the youngest child|every teacher|our captain|the quiet clerk|"
        "a tall stranger|the gardener|her cousin|nobody here|the judge|a pair of twins|your uncle George|"
        "the night nurse|Doctor Vaughan|Miss Whitby|the shepherd|a lazy cook|the first mate|our best player|"
        "the thin waiter|both brothers|the village choir|a cheerful painter|his oldest friend"
    ),
    "did": (
        "carried|found|painted|sold|forgot|repaired|washed|measured|followed|hid|borrowed|counted|described|"
        "noticed|pushed|praised|chose|lost|mended|polished|wrapped|refused|brought|sketched|dropped|guarded|"
        "joined|judged|enjoyed|weighed|exchanged|threw away|wrote about|thought of|asked for"
    ),
    "what": (
        "a heavy wooden box|the silver spoons|eleven yellow tulips|a small grey donkey|the broken violin|"
        "two jars of honey|that strange map|the church bell|a bag of walnuts|his father's watch|"
        "some fresh bread|"
        "the longest rope|a basket of figs|the green umbrella|an empty bottle|four pairs of shoes|"
        "the old bridge|"
        "a chapter of the book|the garden fence|her favourite song|a bowl of soup|the iron gate|"
        "six white geese|"
        "a thick blanket|the letter from Joyce|an orange kite|the kitchen table|a rough sketch|"
        "the whole cheese|"
        "three cups of tea|the ship's lantern|a measure of corn|the narrow ladder|an ugly vase"
    ),
    "where": (
        "behind the barn|near the harbour|under the stairs|across the valley|in the back of the shop|"
        "beside the frozen lake|at the edge of town|on the top shelf|by the railway|through the thick fog|"
        "along the beach|next to the chapel|above the mill|outside the theatre|in a corner of the yard|"
        "between two hills|in front of the school|on the way to Dover|beyond the last house|"
        "down in the cellar|"
        "over the wooden fence|around the fountain|inside the tower|below the vineyard"
    ),
    "when": (
        "this morning|before breakfast|on Thursday|late in August|after the storm|every other week|at noon|"
        "long before sunrise|during the concert|twice a year|just now|in the winter of that year|by chance|"
        "without a word|as usual|in a great hurry|for the third time|with both hands|on purpose|once again|"
        "for no good reason|with much noise|rather slowly|for a few pence"
    ),
    "and": ("and|but|while|because|although|so|until|whenever|as soon as|even though|just as|after"),
    "opening": (
        "Perhaps|Of course,|They say that|I believe that|Strangely enough,|As far as I know,|It is true that|"
        "We heard that|Nobody knows why|Remember how|If only|Once upon a time|Please tell me whether|"
        "You should have seen how|Some people think that|To be honest,"
    ),
    "is": (
        "was far too expensive|smelled of fish and smoke|looked better than ever|is older than the house|"
        "could not be opened|had turned completely blue|was worth a fortune|made everybody laugh|"
        "is just what we needed|was missing a wheel|weighs about nine pounds|belongs to the museum|"
        "fell apart at once|never changes at all|was thrown over the fence|ought to be cleaned|"
        "shone like a mirror|caused much trouble"
    ),
}
ENGLISH_FORMS = (
    "{who} {did} {what} {where}.",
    "{when} {who} {did} {what}.",
    "{opening} {who} {did} {what} {when}.",
    "{what} {where} {is}.",
    "{who} {did} {what} {when}, {and} {who2} {did2} {what2}.",
    "{opening} {what} {is}, {and} {who} {did} {what2}.",
    "{when}, {who} {did} {what} {where}, {and} {what2} {is}.",
    "Why was it that {who} {did} {what} {where}?",
    "{what} {is}, said {who}, {and} {who2} {did} {what2} {where}.",
)
GERMAN: Words = {
    "who": (
        "der Bäcker|meine Tante|ein alter Matrose|die junge Ärztin|unser Nachbar|das kleine Mädchen|niemand|"
        "der müde Kellner|die Lehrerin|ein fremder Mann|der Förster|jeder Gast|die Köchin|mein Bruder|"
        "Frau Schröder|der Bürgermeister|ein höflicher Junge|die Verkäuferin"
    ),
    "did": (
        "fand|kaufte|vergaß|trug|malte|suchte|verlor|zeichnete|brachte|versteckte|bezahlte|öffnete|putzte|"
        "holte|zählte|beschrieb|bemerkte|verschenkte|reparierte"
    ),
    "what": (
        "den schweren Koffer|zwei Gläser Honig|die grüne Jacke|das zerbrochene Fenster|einen Korb voll Äpfel|"
        "die lange Leiter|sechs weiße Gänse|den alten Schlüssel|eine Tüte Nüsse|das ganze Brot|die Quittung|"
        "einen dünnen Faden|das schönste Bild|den Brief aus Zürich|fünf gelbe Tulpen|die Uhr ihres Vaters|"
        "ein Stück Käse|den runden Tisch|eine Flasche Essig|das quietschende Fahrrad"
    ),
    "where": (
        "hinter der Scheune|am Hafen|unter der Treppe|neben der Kirche|im Keller|auf dem Markt|"
        "am Rand der Stadt|"
        "vor dem Rathaus|zwischen zwei Hügeln|auf dem Weg nach Köln|im dichten Nebel|bei der Mühle|"
        "in der Küche|jenseits der Brücke"
    ),
    "when": (
        "heute Morgen|am Donnerstag|vor dem Frühstück|nach dem Gewitter|zweimal im Jahr|im späten August|"
        "gegen Mittag|wie gewöhnlich|ohne ein Wort|in großer Eile|zum dritten Mal|schon wieder"
    ),
    "and": "und|aber|denn|doch",
}
GERMAN_FORMS = (
    "{who} {did} {when} {what} {where}.",
    "{when} {did} {who} {what} {where}.",
    "{who} {did} {what}, {and} {who2} {did2} {what2}.",
    "{when} {did} {who} {what}, {and} {who2} {did2} {where} {what2}.",
    "Warum {did} {who} {when} {what} {where}?",
)
LANGUAGES: Mapping[str, tuple[Words, Sequence[str]]] = {
    "en": (ENGLISH, ENGLISH_FORMS),
    "de": (GERMAN, GERMAN_FORMS),
}


def generated(language: str, n: int, *, seed: int, avoided: Iterable[str] = ()) -> list[str]:
    """So many different sentences, always the same for a seed.

    Args:
        avoided: Texts of which no sentence may hold `N_SHARED_WORDS` words in a row.
    """
    kept: dict[str, None] = {}
    taken = {run for text in avoided for run in runs_of_words(text)}
    source = _sentences(language, random.Random(f"{language} {seed}"))
    while len(kept) < n:
        sentence = next(source)
        fits = SHORTEST_CHARACTERS <= len(sentence) <= LONGEST_CHARACTERS
        if fits and not shares_words(sentence, taken):
            kept[sentence] = None
    return list(kept)


def _sentences(language: str, chance: random.Random) -> Iterator[str]:
    listed, forms = LANGUAGES[language]
    words = {kind: some.split("|") for kind, some in listed.items()}
    while True:
        picked = {name: chance.choice(some) for name, some in words.items()}
        picked |= {f"{name}2": chance.choice(some) for name, some in words.items()}
        sentence = chance.choice(forms).format(**picked)
        yield sentence[0].upper() + sentence[1:]


def shares_words(text: str, taken: Collection[tuple[str, ...]]) -> bool:
    """Is one of these runs of words in a text?"""
    return any(run in taken for run in runs_of_words(text))


def runs_of_words(text: str) -> set[tuple[str, ...]]:
    """Whatever `N_SHARED_WORDS` words stand in a row, without case and punctuation."""
    words = re.findall(r"[\w']+", text.lower())
    return {tuple(words[i : i + N_SHARED_WORDS]) for i in range(len(words) - N_SHARED_WORDS + 1)}


def plain_letters(text: str) -> str:
    """German as TorToiSe's English pieces of text can write it."""
    return text.translate(TRANSLITERATED)


def mixed(real: Sequence[str], made: Sequence[str], *, seed: str) -> list[str]:
    """One of each in turn, both in an order of their own; the rest of the longer one follows."""
    chance = random.Random(seed)
    one, other = chance.sample(real, len(real)), chance.sample(made, len(made))
    n = min(len(one), len(other))
    pairs = [text for pair in zip(one[:n], other[:n], strict=True) for text in pair]
    return list(dict.fromkeys([*pairs, *one[n:], *other[n:]]))

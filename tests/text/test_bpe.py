"""The tables are the published ones, and every text becomes what the library `tokenizers` makes of it."""

import copy
import hashlib
import json
import random

import pytest

from retimbre.errors import TextError
from retimbre.text import bpe
from retimbre.text.bpe import SPACE, SPECIAL, STOP, UNKNOWN, Vocabulary, clean

SHA256_OF_FILE = "d1fa6e9b4741bb75b284331b833347c166ba8b0518e187f7370f123149ed87bb"
ALPHABET = "etaoinshrdlu '-.,!?ABEIN"
STRANGE = [
    "\t",
    "\n",
    "\x1c",
    "\u00a0",
    "é",
    "e\u0301",
    "ß",
    "İ",
    "Ⓐ",
    "²",
    "‿",
    "हि",
    "%",
    "[",
    "]",
    "中",
    "🙂",
]
STRANGE += ["[SPACE]", "[STOP]", "[UNK]", "[space]", "10", "\u200d"]


def as_file(vocabulary, **changes):
    """A tokenizer.json as TorToiSe ships it, of these pieces and merges."""
    switches = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    model = {
        "type": "BPE",
        "dropout": None,
        "unk_token": UNKNOWN,
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": False,
        "vocab": {piece: row for row, piece in enumerate(vocabulary.pieces)},
        "merges": [" ".join(pair) for pair in vocabulary.merges],
    }
    content = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": vocabulary.row_of[piece], "special": True, "content": piece, **switches}
            for piece in vocabulary.whole
        ],
        "normalizer": None,
        "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": None,
        "decoder": None,
        "model": model,
    }
    for path, value in changes.items():
        place = content
        *parents, last = path.split("__")
        for parent in parents:
            place = place[parent]
        place[last] = value
    return content


def small(*words, merges=()):
    """A vocabulary of these characters and pieces."""
    return Vocabulary(pieces=(*SPECIAL, *words), merges=merges)


def saved(content, folder):
    path = folder / "tokenizer.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def random_texts(n):
    chance = random.Random(5)
    for _ in range(n):
        yield "".join(
            chance.choice(STRANGE) if chance.random() < 0.1 else chance.choice(ALPHABET)
            for _ in range(chance.randint(0, 40))
        )


def theirs(content):
    """What the library `tokenizers` makes of a text, cleaned and with marked spaces, as TorToiSe calls it."""
    tokenizers = pytest.importorskip("tokenizers")
    tokenizer = tokenizers.Tokenizer.from_str(json.dumps(content))
    return lambda text: tokenizer.encode(clean(text).replace(" ", SPACE)).ids


def test_the_table_written_as_the_published_file_is_that_file():
    written = json.dumps(as_file(Vocabulary.tortoise()), separators=(",", ":")).encode()

    assert hashlib.sha256(written).hexdigest() == SHA256_OF_FILE


def test_the_pieces_have_the_rows_that_the_model_was_trained_with():
    vocabulary = Vocabulary.tortoise()

    assert (len(vocabulary), len(vocabulary.merges)) == (255, 215)
    assert vocabulary.pieces[:3] == (STOP, UNKNOWN, SPACE)
    assert vocabulary.pieces[3:14] == tuple("!'(),-./:;?")
    assert vocabulary.pieces[14:40] == tuple("abcdefghijklmnopqrstuvwxyz")
    assert (vocabulary.row_of["th"], vocabulary.row_of["get"]) == (40, 254)


def test_random_texts_are_encoded_as_by_tokenizers():
    vocabulary, reference = Vocabulary.tortoise(), theirs(as_file(Vocabulary.tortoise()))

    for text in random_texts(1000):
        assert vocabulary.encode(text) == reference(text), text


@pytest.mark.parametrize("pack", ["kathleen", "ljspeech-mini", "non-english-mini"])
def test_real_sentences_are_encoded_as_by_tokenizers(shared, pack):
    vocabulary, reference = Vocabulary.tortoise(), theirs(as_file(Vocabulary.tortoise()))
    lines = (shared / "data" / pack / "metadata.csv").read_text(encoding="utf-8").splitlines()

    assert len(lines) > 30
    for line in lines:
        text = line.split("|")[1]
        assert vocabulary.encode(text) == reference(text), text


@pytest.mark.parametrize("seed", range(5))
def test_any_vocabulary_of_this_kind_is_applied_as_by_tokenizers(tmp_path, seed):
    # Merges in random order: later ones make pairs of earlier ones possible, and the other way round.
    chance = random.Random(seed)
    pieces, merges = list("abc\u093f²"), []
    while len(merges) < 12:
        pair = (chance.choice(pieces), chance.choice(pieces))
        if "".join(pair) not in pieces:
            pieces.append("".join(pair))
            merges.append(pair)
    chance.shuffle(merges)
    content = as_file(small(*pieces, merges=tuple(merges)))
    vocabulary, reference = Vocabulary.from_file(saved(content, tmp_path)), theirs(content)

    for _ in range(200):
        text = "".join(chance.choice("abc\u093f² x-") for _ in range(12))
        assert vocabulary.encode(text) == reference(text), text


def test_pieces_in_a_text_are_found_as_they_stand_where_the_file_says_so(tmp_path):
    words = Vocabulary(
        pieces=(*SPECIAL, *"en[]", "[en]", "[en-x]"), merges=(), whole=(*SPECIAL, "[en]", "[en-x]")
    )
    content = as_file(words)
    vocabulary = Vocabulary.from_file(saved(content, tmp_path))

    assert vocabulary == words
    for text in ("[en]een", "[en] [en-x]n", "[en", "[[en]]"):
        assert vocabulary.encode(text) == theirs(content)(text)


def test_what_was_encoded_is_decoded_to_the_cleaned_text():
    vocabulary = Vocabulary.tortoise()
    text = "  He said:\tthe OTHER thing,\n(perhaps) - isn't; no?"

    assert (
        vocabulary.decode(vocabulary.encode(text))
        == clean(text)
        == (" he said: the other thing, (perhaps) - isn't; no?")
    )
    assert vocabulary.decode([0, 14, 0]) == "a"


def test_unknown_characters_are_named_and_stay_visible():
    vocabulary = Vocabulary.tortoise()
    text = "10 % of the café"

    assert vocabulary.unknown(text) == ["1", "0", "%", "é"]
    assert vocabulary.encode(text).count(vocabulary.row_of[UNKNOWN]) == 4
    assert vocabulary.decode(vocabulary.encode(text)) == "�� � of the caf�"
    assert vocabulary.unknown("the cafe") == []


def test_no_text_writes_a_special_piece():
    rows = Vocabulary.tortoise().encode("a[STOP]b[SPACE]c")

    assert not {0, 2} & set(rows)


def test_rows_outside_the_vocabulary_are_refused():
    with pytest.raises(TextError, match="expected 0 to 254, found 255, -1"):
        Vocabulary.tortoise().decode([14, 255, -1])


def test_both_spellings_of_a_merge_are_read(tmp_path):
    vocabulary = Vocabulary.tortoise()
    content = as_file(vocabulary, model__merges=[list(pair) for pair in vocabulary.merges])

    assert Vocabulary.from_file(saved(content, tmp_path)) == vocabulary


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"normalizer": {"type": "Lowercase"}}, "normalizer"),
        ({"pre_tokenizer": {"type": "ByteLevel"}}, "pre_tokenizer.type"),
        ({"pre_tokenizer": None}, "pre_tokenizer"),
        ({"post_processor": {"type": "TemplateProcessing"}}, "post_processor"),
        ({"model__type": "WordPiece"}, "model.type"),
        ({"model__fuse_unk": True}, "model.fuse_unk"),
        ({"model__end_of_word_suffix": "</w>"}, "model.end_of_word_suffix"),
        ({"model__byte_fallback": True}, "model.byte_fallback"),
        ({"model__unk_token": None}, "model.unk_token"),
        ({"model__vocab": {"a": "1"}}, "model.vocab.a"),
        ({"model__vocab": {"": 1}}, "model.vocab"),
        ({"model__vocab": {"a" * 257: 1}}, "at most 256"),
        ({"model__vocab__a": 300}, "not numbered one by one: expected 0 to 254"),
        ({"model__vocab__[STOP]": 1}, "a piece has two rows"),
        ({"model__merges": ["t h", "q q"]}, "merges of pieces into pieces, found 'q q'"),
        ({"model__merges": ["th"]}, "merges of pieces into pieces"),
        ({"model__merges": [7]}, "model.merges"),
        ({"added_tokens": []}, r"\[SPACE\] among the pieces that are found as they stand"),
        ({"added_tokens__0__lstrip": True}, "lstrip"),
    ],
)
def test_a_file_that_asks_for_anything_else_is_refused_by_the_name_of_the_field(tmp_path, changes, message):
    content = copy.deepcopy(as_file(Vocabulary.tortoise()))
    for path, value in changes.items():
        *parents, last = path.split("__")
        place = content
        for parent in parents:
            place = place[int(parent) if isinstance(place, list) else parent]
        place[last] = value
    path = saved(content, tmp_path)

    with pytest.raises(TextError, match=message) as caught:
        Vocabulary.from_file(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("written", [b"", b"[]", b"{", b"\xff\xfe", b"[" * 100_000, b"nan", b"1" * 10_000])
def test_a_file_that_is_none_is_refused_in_one_line(tmp_path, written):
    path = tmp_path / "tokenizer.json"
    path.write_bytes(written)

    with pytest.raises(TextError, match="no byte-pair vocabulary") as caught:
        Vocabulary.from_file(path)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_or_too_large_is_refused(tmp_path, monkeypatch):
    with pytest.raises(TextError, match="cannot be read: found No such file"):
        Vocabulary.from_file(tmp_path / "tokenizer.json")

    path = saved(as_file(Vocabulary.tortoise()), tmp_path)
    monkeypatch.setattr(bpe, "LARGEST_FILE_BYTES", 100)
    with pytest.raises(TextError, match="too large for a vocabulary"):
        Vocabulary.from_file(path)


def test_a_piece_with_two_rows_is_refused():
    with pytest.raises(TextError, match="one row for each piece, found 'a'"):
        small("a", "a")

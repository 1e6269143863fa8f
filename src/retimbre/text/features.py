"""Phonological features: a symbol as the 43 numbers that EveryVoice's networks read in place of a row.

    24  articulation of the IPA segments in it: the mean of PanPhon's features, each from -1 to 1
     2  primary and secondary stress
    12  a space, ten kinds of punctuation, silence
     5  padding, and four marks that no text has

PanPhon changed its table in 0.21. A network reads what it was trained on, so the table of 0.20, which
EveryVoice demands, lies beside this file.

Axes used in this file:
    symbols   rows of a symbol table
    features  the numbers above; of the articulation alone in `articulation`
"""

import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from importlib.resources import as_file, files

import torch
from jaxtyping import Float
from safetensors import safe_open
from torch import Tensor

from retimbre.text.symbols import PAD, PUNCTUATION, SILENCE

TABLE = "ipa_features.safetensors"
N_ARTICULATION = 24
STRESS = ("ˈ", "ˌ")
TAG_OF_KIND: Mapping[str, str] = {  # in EveryVoice's order; tags are symbols too
    "question_symbols": "<QINT>",
    "periods": "<PERIOD>",
    "colons": "<COLON>",
    "semi_colons": "<SEMICOL>",
    "commas": "<COMMA>",
    "hyphens": "<HYPHEN>",
    "quotemarks": "<QUOTE>",
    "parentheses": "<PAREN>",
    "ellipses": "<EPS>",
    "exclamations": "<EXCL>",
}
PADDINGS = (PAD, "[PAD]")
SPECIAL = ("[MASK]", "[CLS]", "[SEP]", "[UNK]")
N_FEATURES = N_ARTICULATION + len(STRESS) + 1 + len(TAG_OF_KIND) + 1 + 1 + len(SPECIAL)
# How much a difference counts, as in PanPhon; it has no weight for tones.
WEIGHTS = {
    "syl": 1.0, "son": 1.0, "cons": 1.0, "cont": 0.5, "delrel": 0.25, "lat": 0.25, "nas": 0.25,
    "strid": 0.125, "voi": 0.125, "sg": 0.125, "cg": 0.125, "ant": 0.25, "cor": 0.25, "distr": 0.125,
    "lab": 0.25, "hi": 0.25, "lo": 0.25, "back": 0.25, "round": 0.25, "velaric": 0.25, "tense": 0.25,
    "long": 0.125, "hitone": 0.125, "hireg": 0.125,
}  # fmt: skip


def symbol_features(
    symbols: Sequence[str],
    *,
    punctuation: Mapping[str, Sequence[str]] = PUNCTUATION,
    silence: Iterable[str] = SILENCE,
) -> Float[Tensor, "symbols features"]:
    """The features of every symbol, in the same order; zeros for what is neither IPA nor one of the marks.

    Args:
        punctuation: Kind -> its marks, as EveryVoice's configuration has them; a kind shares its features.
        silence: Symbols of silence.
    """
    tag_of = {mark: tag for kind, tag in TAG_OF_KIND.items() for mark in punctuation.get(kind, ())}
    column_of = _columns(silence)
    features = torch.zeros(len(symbols), N_FEATURES)
    for row, symbol in zip(features, symbols, strict=True):
        name = tag_of.get(symbol, symbol)
        found = articulation(name)
        if found is not None:
            row[:N_ARTICULATION] = found
        if name in column_of:
            row[column_of[name]] = 1.0
    return features


def articulation(symbol: str) -> Float[Tensor, "features"] | None:
    """How a symbol is articulated; the mean where it has several segments, None where it has none."""
    rows = [_table()[segment] for segment in _segments(symbol)]
    return torch.stack(rows).mean(0) if rows else None


def articulatory_distance(ours: Float[Tensor, "features"], theirs: Float[Tensor, "features"]) -> float:
    """How far two articulations are apart; 1 is, for instance, all between a vowel and its consonant."""
    return float((ours - theirs).abs() @ _weights()) / 2


def _segments(symbol: str) -> Iterator[str]:
    """The longest segments that the table has, from left to right; what it lacks is skipped."""
    text = unicodedata.normalize("NFD", symbol)
    while text:
        known = (text[:n] for n in range(min(len(text), _longest()), 0, -1))
        segment = next((part for part in known if part in _table()), "")
        if segment:
            yield segment
        text = text[len(segment) or 1 :]


def _columns(silence: Iterable[str]) -> dict[str, int]:
    """Where a symbol that is no segment has its 1."""
    kinds = [[mark] for mark in STRESS]
    kinds += [[" "], *([tag] for tag in TAG_OF_KIND.values()), list(silence)]
    kinds += [list(PADDINGS), *([mark] for mark in SPECIAL)]
    columns: dict[str, int] = {}
    for column, names in enumerate(kinds, start=N_ARTICULATION):
        for name in names:
            columns.setdefault(name, column)
    return columns


@cache
def _weights() -> Float[Tensor, "features"]:
    return torch.tensor(list(WEIGHTS.values()))


@cache
def _longest() -> int:
    return max(map(len, _table()))


@cache
def _table() -> dict[str, Float[Tensor, "features"]]:
    with as_file(files("retimbre.text") / TABLE) as path, safe_open(path, framework="pt") as file:
        features = file.get_tensor("features").float()
        segments = file.metadata()["segments"].split("\n")
    return dict(zip(segments, features, strict=True))

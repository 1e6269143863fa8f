"""Symbols as phonological features: EveryVoice's numbers, and what is near what."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from retimbre.text.features import N_FEATURES, articulation, articulatory_distance, symbol_features
from retimbre.text.symbols import PAD

FOLDER = Path(__file__).parents[1] / "fixtures" / "everyvoice" / "features"


def distance(ours, theirs):
    return articulatory_distance(articulation(ours), articulation(theirs))


def test_the_features_of_symbols_are_those_of_everyvoice():
    symbols = json.loads((FOLDER / "meta.json").read_text())["symbols"]

    found = symbol_features(symbols)

    assert found.shape == (len(symbols), N_FEATURES)
    torch.testing.assert_close(found, load_file(FOLDER / "io.safetensors")["features"], atol=1e-6, rtol=0)


def test_the_marks_of_a_kind_share_their_features_whatever_the_kind_holds():
    found = symbol_features(["!", "⁉", "?"], punctuation={"exclamations": ["!", "⁉"], "periods": ["."]})
    assert found[0].equal(found[1])
    assert found[0].sum() == 1
    assert found[2].eq(0).all()


def test_every_symbol_of_silence_is_silent():
    found = symbol_features(["<SIL>", "<PAUSE>", PAD], silence=["<SIL>", "<PAUSE>"])
    assert found[0].equal(found[1])
    assert found.sum(1).tolist() == [1, 1, 1]


def test_kinds_of_punctuation_that_have_no_feature_are_zeros():
    assert symbol_features([","], punctuation={"small_breaks": [","]}).eq(0).all()


@pytest.mark.parametrize("symbol", ["", "A", "!", "字", "<SIL>", "ˈ"])
def test_what_is_no_segment_has_no_articulation(symbol):
    assert articulation(symbol) is None


def test_several_segments_are_the_mean_of_their_features():
    torch.testing.assert_close(articulation("aɪ"), (articulation("a") + articulation("ɪ")) / 2)
    assert articulation("a-ɪ").equal(articulation("aɪ"))


def test_a_composed_letter_is_the_decomposed_one():
    assert articulation("\u00e3").equal(articulation("a\u0303"))


def test_near_sounds_are_nearer_than_far_ones():
    assert distance("e", "e") == 0
    assert 0 < distance("ɛ", "e") < distance("ɛ", "u") < distance("ɛ", "t")
    assert distance("b", "p") < distance("b", "s")

"""The letter-to-sound network: padding, sizes, and what the trained weights say."""

import json
import time
from importlib.resources import files

import pytest
import torch
from safetensors import safe_open

from retimbre.text.ipa import split_ipa
from retimbre.text.letter_to_sound import LETTERS, WEIGHTS, LetterToSound, letter_rows, sound_out


def test_padding_never_changes_a_score():
    model = LetterToSound(n_chunks=5, dim=8, n_layers=3, kernel=3).eval()
    word = torch.tensor([letter_rows("zorblax")])
    padded = torch.nn.functional.pad(word, (0, 4))

    torch.testing.assert_close(model(padded)[:, :, :7], model(word))


def test_sizes_are_recovered_from_the_weights():
    model = LetterToSound(n_chunks=5, dim=8, n_layers=3, kernel=7).eval()
    word = torch.tensor([letter_rows("x")])

    torch.testing.assert_close(LetterToSound.from_tensors(model.state_dict())(word), model(word))


@pytest.mark.parametrize(
    ("word", "said"),
    [("flib", "flɪb"), ("shane", "ʃeɪn"), ("blix", "blɪks"), ("phote", "foʊt"), ("snatching", "snætʃɪŋ")],
)
def test_invented_words_are_said_as_a_reader_would(word, said):
    assert sound_out(word) == said


def test_any_word_can_be_sounded_out():
    symbols = {
        symbol
        for word in ("a", LETTERS, "qqq", "strengths", "e" * 60)
        for symbol in split_ipa(sound_out(word))
    }

    assert symbols
    assert sound_out("") == ""


def test_a_word_takes_less_than_twenty_milliseconds():
    sound_out("warm")
    started = time.process_time()
    for word in ("alpha", "bravo", "charlie", "delta", "echo"):
        sound_out.__wrapped__(word)

    assert (time.process_time() - started) / 5 < 0.02


def test_the_weights_are_small_and_say_where_they_come_from():
    path = files("retimbre.text") / WEIGHTS
    with safe_open(str(path), framework="pt") as file:
        facts = file.metadata()

    assert len(path.read_bytes()) < 400_000
    assert "CMU Pronouncing Dictionary" in facts["trained_on"]
    assert "Carnegie Mellon" in facts["licence"]
    assert json.loads(facts["score"])["words_right_percent"] >= 60
    assert json.loads(facts["score"])["phone_error_rate_percent"] <= 10

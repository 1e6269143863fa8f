"""What the base said is listened to once, and compared with from then on."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional

from building.codes import SMALL, Voices, new_network, utterances
from retimbre.models.tortoise_ar.decoding import decode
from retimbre.pipelines.tortoise_settings import Settings
from retimbre.pipelines.tortoise_stages import as_read
from retimbre.text.bpe import SPECIAL, UNKNOWN, Vocabulary
from retimbre.training.tortoise_ar_checks import Held
from retimbre.training.tortoise_forgetting import SENTENCES, BaseSpeech, base_texts, made_up_voice

TEXTS = [torch.tensor([3, 1, 4, 1, 5]), torch.tensor([2, 7])]
HELD = [
    Held(symbols=one.symbols, codes=one.codes, clips=Voices().for_auto(one, np.random.default_rng(4)))
    for one in utterances([(5, 11), (3, 8)])
]


def base_speech(settings=None, max_codes=9):
    return BaseSpeech(TEXTS, dim=SMALL.dim, max_codes=max_codes, settings=settings)


def moved(model, by=0.2, *, seed=5):
    torch.manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * by)
    return model


@pytest.fixture
def network():
    return moved(new_network()).eval()


@torch.no_grad()
def test_the_base_itself_has_forgotten_nothing_and_its_speech_is_its_own(network):
    speech = base_speech()

    measures = speech.measures(network, HELD)

    assert measures["forgetting_nats"] == 0.0
    total, n_all = 0.0, 0
    for number, symbols in enumerate(TEXTS):
        text = as_read(symbols, network)
        said = decode(network, speech.voice.unsqueeze(0), text, max_codes=9)[0]
        n = int(speech.n_codes[number])
        assert speech.codes[number, :n].equal(said[:n])
        assert n == 9 or said[n - 1] == SMALL.stop_code
        sound = functional.pad(said[:n], (1, 0), value=SMALL.start_code).unsqueeze(0)
        scores = network(speech.voice.unsqueeze(0), network.framed_symbols(text), sound).codes[0, :-1]
        total += float(functional.cross_entropy(scores.double(), said[:n], reduction="sum"))
        n_all += n
    assert measures["base_speech_nats"] == pytest.approx(total / n_all, rel=1e-5)


@pytest.mark.parametrize("settings", [None, Settings(n_drawn=1)])
def test_a_network_that_has_moved_away_finds_it_more_surprising(network, settings):
    speech = base_speech(settings)
    before = speech.measures(network, HELD)["base_speech_nats"]
    codes, voice = speech.codes.clone(), speech.voice.clone()

    after = speech.measures(moved(network, 0.5, seed=6), HELD)

    assert after["forgetting_nats"] > 0.1
    assert after["forgetting_nats"] == pytest.approx(after["base_speech_nats"] - before)
    assert speech.codes.equal(codes)
    assert speech.voice.equal(voice)


def test_a_run_that_goes_on_compares_with_what_it_heard_first(network, tmp_path):
    speech = base_speech()
    speech.measures(network, HELD)
    save_file(speech.state_dict(), tmp_path / "state.safetensors")
    moved(network, seed=6)
    expected = speech.measures(network, HELD)

    again = base_speech()
    again.load_state_dict(load_file(tmp_path / "state.safetensors"))

    assert again.measures(network, HELD) == expected
    assert base_speech().measures(network, HELD) != expected  # it would hear the tuned network


@pytest.mark.parametrize(("bias", "n"), [(50.0, 1), (-50.0, 9)])
def test_a_stop_is_part_of_what_was_said_and_speech_without_one_is_cut_off(network, bias, n):
    with torch.no_grad():
        network.mel_head.bias[SMALL.stop_code] = bias
    speech = base_speech()

    nats = speech.measures(network, HELD)["base_speech_nats"]

    assert speech.n_codes.tolist() == [n, n]
    assert (speech.codes == SMALL.stop_code).any(dim=1).tolist() == [bias > 0] * 2
    assert (nats < 1e-3) == (bias > 0)


def test_a_voice_that_nobody_has_is_as_large_as_real_ones_and_nobodys():
    torch.manual_seed(0)
    voices = 3.0 + torch.randn(5, 1024)
    state = torch.get_rng_state()

    made_up = made_up_voice(voices)

    assert torch.get_rng_state().equal(state)  # no number that dropout would have used
    assert made_up.equal(made_up_voice(voices))
    assert made_up.norm() == pytest.approx(float(voices.mean(0).norm()), rel=0.05)
    assert functional.cosine_similarity(made_up, voices.mean(0), dim=0) == pytest.approx(0.5**0.5, abs=0.1)


def test_sentences_are_those_that_the_vocabulary_can_write():
    vocabulary = Vocabulary.tortoise()

    texts = base_texts(vocabulary)

    assert [vocabulary.decode(text.tolist()) for text in texts] == list(SENTENCES)
    assert not any(vocabulary.row_of[UNKNOWN] in text for text in texts)
    assert base_texts(Vocabulary(pieces=(*SPECIAL, "ж"), merges=())) == []

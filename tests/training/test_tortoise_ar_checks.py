"""What validation says of a network is what speaking with it would give."""

import numpy as np
import pytest
import torch

from building.codes import SMALL, Voices, new_network, utterances
from retimbre.models.tortoise_ar.decoding import Decoding
from retimbre.pipelines.tortoise_settings import Settings
from retimbre.pipelines.tortoise_stages import Seeds, as_read
from retimbre.training import tortoise_ar_checks
from retimbre.training.tortoise_ar_checks import (
    Checks,
    Held,
    held_out_measures,
    n_codes_spoken,
    spoken,
    surprise,
    voice_of,
)

SILENT = Checks(n_spoken=0)


@pytest.fixture(scope="module")
def network():
    """Scores that differ much."""
    model = new_network().eval()
    with torch.no_grad():
        model.mel_head.weight.normal_(std=0.5)
        model.text_head.weight.normal_(std=0.5)
    return model


@pytest.fixture(scope="module")
def held():
    return [
        Held(
            symbols=one.symbols,
            codes=one.codes,
            clips=Voices().for_auto(one, np.random.default_rng(number)),
        )
        for number, one in enumerate(utterances([(5, 11), (3, 8), (12, 1)]))
    ]


def log_chances(network, one):
    """Of each true code and of the stop, as they come up when the codes are spoken one after another."""
    found, targets = [], [*one.codes.tolist(), SMALL.stop_code]

    def teacher(scores, seen, _):
        target = targets[seen.shape[1] - 2]
        found.append(scores[0].double().log_softmax(-1))
        return torch.tensor([target])

    text = as_read(one.symbols, network)
    speaking = Decoding(network, voice_of(network, one), text, max_codes=len(targets), choose=teacher)
    while speaking.goes_on:
        speaking.step()
    return torch.stack(found), torch.tensor(targets)


def test_codes_are_as_surprising_as_they_are_when_they_are_spoken(network, held):
    measures = held_out_measures(network, held, SILENT, seed=1)

    each = [log_chances(network, one) for one in held]
    logs = torch.cat([chances.gather(1, targets.unsqueeze(1)) for chances, targets in each])
    right = torch.cat([chances.argmax(-1) == targets for chances, targets in each])
    assert len(logs) == 12 + 9 + 2
    assert measures["codes_nats"] == pytest.approx(-float(logs.mean()), rel=1e-5)
    assert measures["accuracy"] == pytest.approx(float(right.float().mean()))
    assert "stops" not in measures  # nothing was spoken


@torch.no_grad()
def test_texts_count_up_to_their_end(network, held):
    total = 0.0
    for one in held:
        text = network.framed_symbols(one.symbols.unsqueeze(0))  # any codes will do: they come later
        scores = network(voice_of(network, one), text, torch.tensor([[SMALL.start_code]])).symbols
        logs = scores[0, :-1].double().log_softmax(-1)
        total -= float(logs.gather(1, text[0, 1:].unsqueeze(1)).sum())

    measures = held_out_measures(network, held, SILENT, seed=1)

    assert measures["text_nats"] == pytest.approx(total / (6 + 4 + 13), rel=1e-5)


def test_codes_that_were_cut_off_are_followed_by_nothing(network, held):
    voice = voice_of(network, held[0])

    whole = surprise(network, voice, held[0].symbols, held[0].codes)
    cut = surprise(network, voice, held[0].symbols, held[0].codes, stops=False)

    chances, _ = log_chances(network, held[0])
    assert (whole.n_codes, cut.n_codes) == (12, 11)
    assert whole.of_codes - cut.of_codes == pytest.approx(-float(chances[-1, SMALL.stop_code]), rel=1e-3)


@pytest.mark.parametrize(
    ("n_said", "is_in_time"), [(5, False), (6, True), (8, True), (10, True), (11, False), (None, False)]
)
def test_an_utterance_stops_in_time_within_two_codes(network, held, monkeypatch, n_said, is_in_time):
    """The second has 8 codes; nobody waits for more than three further ones."""
    asked = []

    def speak(model, voice, text, *, max_codes):
        asked.append(max_codes)
        codes = torch.zeros(1, 40, dtype=torch.int64)
        if n_said is not None:
            codes[0, n_said:] = SMALL.stop_code
        return codes[:, :max_codes]

    monkeypatch.setattr(tortoise_ar_checks, "decode", speak)

    measures = held_out_measures(network, held[1:], Checks(settings=None, n_spoken=1), seed=1)

    assert measures["stops"] == float(is_in_time)
    assert asked == [8 + 3]  # and no other utterance is spoken


def test_speech_is_drawn_as_by_speaking_and_the_same_each_time(network, held):
    voice, settings = voice_of(network, held[0]), Settings(n_drawn=1)

    def said(seed, max_codes=20):
        seeds = Seeds(seed=seed)
        return spoken(network, voice, held[0].symbols, settings, seeds, max_codes=max_codes).tolist()

    assert said(3) == said(3)
    assert said(3, max_codes=4) == said(3)[:4]
    assert len({tuple(said(seed)) for seed in range(6)}) > 1
    greedy = spoken(network, voice, held[0].symbols, None, Seeds(seed=3), max_codes=20).tolist()
    assert greedy != said(3)


def test_speech_ends_with_its_stop(held):
    model = new_network().eval()
    with torch.no_grad():
        model.mel_head.bias[SMALL.stop_code] = 50.0

    assert n_codes_spoken(model, voice_of(model, held[0]), held[0], None, Seeds(seed=1)) == 0
    with torch.no_grad():
        model.mel_head.bias[SMALL.stop_code] = -50.0
    assert n_codes_spoken(model, voice_of(model, held[0]), held[0], None, Seeds(seed=1)) is None

"""What the experiment on TorToiSe's training measures is what it says: losses, ends, agreement, intervals."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from retimbre.models.tortoise_ar.config import UnifiedVoiceConfig
from retimbre.models.tortoise_ar.model import UnifiedVoice

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
N_CODES = 60
STOP = N_CODES + 1


@pytest.fixture
def stops(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import tortoise_stops

    return tortoise_stops


@pytest.fixture
def agreement(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import tortoise_agreement

    return tortoise_agreement


@pytest.fixture
def intervals(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import tortoise_intervals

    return tortoise_intervals


def network(seed=0, *, after_codes=None):
    """A tiny network; one that stops after about so many codes, or one that never does."""
    torch.manual_seed(seed)
    config = UnifiedVoiceConfig(
        n_layers=2, dim=32, n_heads=2, n_conditioning_layers=1, n_codes=N_CODES + 2, start_code=N_CODES,
        stop_code=STOP, n_code_positions=104,
    )  # fmt: skip
    model = UnifiedVoice(config).eval()
    with torch.no_grad():
        for tensor in model.parameters():
            if tensor.ndim > 1:
                tensor.normal_(std=0.05 if after_codes else 0.3)
        model.mel_head.bias[STOP] = -30.0
        if after_codes is not None:
            from make_tortoise_set import let_it_stop

            let_it_stop(model, after_codes=after_codes)
    return model


def held(stops, n_codes, *, seed=0, n_symbols=7, name="a"):
    generator = torch.Generator().manual_seed(seed)
    return stops.Held(
        name=name,
        symbols=torch.randint(3, 255, (n_symbols,), generator=generator),
        codes=torch.randint(0, N_CODES, (n_codes,), generator=generator),
        clips=torch.randn(2, 80, 30, generator=generator),
    )


def test_the_loss_of_codes_is_the_surprise_at_each_step_of_decoding(stops):
    model, one = network(1), held(stops, 9, seed=2)
    true = [*one.codes.tolist(), STOP]
    surprises = []

    def watch(scores, seen, _):
        place = seen.shape[1] - 2
        surprises.append(float(-scores[0].log_softmax(-1)[true[place]]))
        return torch.tensor([true[place]])

    with torch.no_grad():
        voice = model.conditioning_latent(one.clips.unsqueeze(0))
    text = torch.nn.functional.pad(one.symbols, (0, 1)).unsqueeze(0)  # tortoise-tts' zero
    stops.decode(model, voice, text, max_codes=20, choose=watch)

    found = stops.knowledge(model, one)
    assert found.codes == pytest.approx(np.mean(surprises), rel=1e-4)
    assert found.stop == pytest.approx(surprises[-1], rel=1e-4)
    assert len(surprises) == 10


def test_the_loss_of_text_is_that_of_each_symbol_its_zero_and_the_stop(stops):
    model, one = network(1), held(stops, 5, seed=3, n_symbols=6)
    with torch.no_grad():
        voice = model.conditioning_latent(one.clips.unsqueeze(0))
        row = [255, *one.symbols.tolist(), 0, 0]
        logits = model(voice, torch.tensor([row]), torch.tensor([[N_CODES]])).symbols[0].log_softmax(-1)
    expected = -np.mean([float(logits[place, after]) for place, (_, after) in enumerate(pairwise(row))])
    assert stops.knowledge(model, one).text == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("after_codes", [6, 12, 19])
@pytest.mark.parametrize("n_true", [4, 13, 30])
def test_a_forced_length_is_where_the_stop_is_first_most_likely_after_true_codes(stops, after_codes, n_true):
    model, one = network(4, after_codes=after_codes), held(stops, n_true, seed=after_codes)
    found = stops.forced_length(model, one)

    read = one.codes.tolist()  # by reading everything anew each time
    with torch.no_grad():
        voice = model.conditioning_latent(one.clips.unsqueeze(0))
        text = model.framed_symbols(torch.nn.functional.pad(one.symbols, (0, 1)).unsqueeze(0))
        expected = None
        for place in range(60):
            codes = torch.tensor([[N_CODES, *read[:place]]])
            best = int(model(voice, text, codes).codes[0, -1].argmax())
            if best == STOP:
                expected = place
                break
            if place >= len(read):
                read.append(best)
    assert found == expected
    assert expected is not None


def test_a_network_that_never_stops_has_no_length(stops):
    model, one = network(5), held(stops, 8)
    assert stops.forced_length(model, one) is None
    assert stops.lengths_of(stops.greedy_codes(model, one).unsqueeze(0), STOP) == [None]
    assert not stops.is_near(None, 8)


def test_free_codes_have_their_own_length_and_draws_differ(stops):
    model, one = network(6, after_codes=9), held(stops, 20)
    drawn = stops.sampled_codes(model, one, n_each=4, seed=1)
    lengths = stops.lengths_of(drawn, STOP)
    assert all(length is not None and length <= 30 for length in lengths)
    assert len(drawn.unique(dim=0)) > 1
    assert drawn.equal(stops.sampled_codes(model, one, n_each=4, seed=1))
    assert not drawn.equal(stops.sampled_codes(model, one, n_each=4, seed=2))


def test_two_codes_are_near_and_three_are_not(stops):
    assert stops.share_near([8, 10, 12, 7, 13, None], 10) == 0.5


def test_the_same_precision_agrees_with_itself_and_another_network_does_not(stops, agreement):
    utterances = [held(stops, n, seed=n, name=str(n)) for n in (5, 12)]
    one, other = (
        agreement.chosen_by(lambda seed=seed: network(seed, after_codes=15), utterances, ["float32"])
        for seed in (7, 8)
    )
    for name in ("5", "12"):
        same = agreement.agreement(one["float32"][name], one["float32"][name])
        assert set(vars(same).values()) == {1.0}
        different = agreement.agreement(one["float32"][name], other["float32"][name])
        assert different.same_greedy == 0
        assert different.same_place < 1


def test_all_precisions_are_compared_with_float32(stops, agreement):
    found = agreement.chosen_by(lambda: network(9, after_codes=10), [held(stops, 6)])
    compared = agreement.agreements(found)
    assert list(compared) == ["bfloat16", "int8"]
    assert all(0 <= value <= 1 for value in vars(compared["int8"]["a"]).values())
    assert compared["bfloat16"]["a"].same_place > 0.5


def test_a_shorter_sequence_differs_where_it_ends(agreement):
    share = agreement.until_different
    one = torch.tensor([3, 1, 4, 1])
    assert share(one, one.clone()) == 1
    assert share(one, torch.tensor([3, 1, 5, 1])) == 0.5
    assert share(one, torch.tensor([3, 1])) == 0.5
    assert share(torch.tensor([3]), torch.tensor([2, 1, 7])) == 0


def test_a_constant_gain_is_clear_over_utterances_and_over_seeds(intervals):
    chance = np.random.default_rng(1)
    theirs = {seed: {str(n): float(chance.normal()) for n in range(20)} for seed in range(3)}
    ours = {
        seed: {name: value - 0.5 + 0.05 * float(chance.normal()) for name, value in of_seed.items()}
        for seed, of_seed in theirs.items()
    }
    found = intervals.difference(ours, theirs)
    assert found.mean == pytest.approx(-0.5, abs=0.05)
    assert found.is_clear
    assert found.over_utterances.n_pairs == 20
    assert intervals.mean_of(ours) - intervals.mean_of(theirs) == pytest.approx(found.mean)


def test_a_gain_of_one_seed_alone_is_not_clear(intervals):
    theirs = {seed: {str(n): 1.0 for n in range(20)} for seed in range(3)}
    ours = {seed: {str(n): 1.0 - (seed == 0) for n in range(20)} for seed in range(3)}
    found = intervals.difference(ours, theirs)
    low, high = found.over_seeds
    assert low < 0 < high
    assert not found.is_clear


def test_only_what_both_have_measured_counts(intervals):
    ours = {1: {"a": 2.0, "b": 5.0}, 2: {"a": 4.0}}
    theirs = {1: {"a": 1.0}, 2: {"a": 1.0}, 3: {"a": 9.0}}
    assert intervals.difference(ours, theirs).mean == pytest.approx(2.0)

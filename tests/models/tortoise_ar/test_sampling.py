"""What sampling leaves of the scores, which code is chosen, and where the random numbers come from."""

import hashlib
import json
import math
from dataclasses import asdict

import pytest
import torch
from safetensors.torch import load_file, save_file

from building.tortoise_itself import ask_tortoise, needs_tortoise
from retimbre.errors import CheckpointError, DataError
from retimbre.models.tortoise_ar.sampling import Sampling, choose, uniforms

STAGES = {  # name in the fixture -> the sampling that ends there
    "after_repetition_penalty_2": {"repetition_penalty": 2.0},
    "then_temperature_0p8": {"repetition_penalty": 2.0, "temperature": 0.8},
    "then_top_k_50": {"repetition_penalty": 2.0, "temperature": 0.8, "top_k": 50},
    "then_top_p_0p8": {},
    "typical_mass_0p9_alone": {"typical_mass": 0.9},
}


def sampling(**changes):
    """Nothing but these; everything usual where there are none."""
    keeps_all = {"temperature": 1.0, "top_p": 1.0, "top_k": None, "repetition_penalty": 1.0}
    return Sampling(**(keeps_all | changes)) if changes else Sampling()


def some_logits(n_rows, n_codes, seed, *, step=None):
    """Scores, and what was seen; with `step` many of them are equal."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(n_rows, n_codes, generator=generator) * 3
    if step:
        logits = (logits / step).round() * step
    return logits, torch.randint(n_codes, (n_rows, 23), generator=generator)


@pytest.mark.parametrize("stage", STAGES)
def test_each_stage_equals_the_frozen_reference(parity, stage):
    io = load_file(parity("sampling_warpers") / "io.safetensors")

    left = sampling(**STAGES[stage]).scores(io["logits"], io["ids"])

    assert left.isinf().equal(io[stage].isinf())
    torch.testing.assert_close(left, io[stage], atol=1e-6, rtol=1e-6)


def reference(logits, seen, wanted):
    """The same from its definition, in double precision and row by row."""
    rows = []
    for row, ids in zip(logits.double(), seen, strict=True):
        row = row.clone()
        for code in set(ids.tolist()):
            row[code] *= wanted.repetition_penalty if row[code] < 0 else 1 / wanted.repetition_penalty
        if wanted.typical_mass is not None:
            shares = row.softmax(-1)
            oddness = (-shares.log() + (shares * shares.log()).sum()).abs()
            held, limit = 0.0, math.inf
            for code in oddness.argsort().tolist():
                limit = oddness[code]
                held += shares[code].item()
                if held >= wanted.typical_mass:
                    break
            row[oddness > limit] = -math.inf
        row /= wanted.temperature
        if wanted.top_k is not None:
            row[row < row.sort(descending=True).values[: wanted.top_k][-1]] = -math.inf
        shares, order, held = row.softmax(-1), row.argsort(stable=True), 0.0
        for code in order[:-1].tolist():
            held += shares[code].item()
            if held > 1 - wanted.top_p:
                break
            row[code] = -math.inf
        rows.append(row)
    return torch.stack(rows)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"top_p": 0.8},
        {"top_k": 7, "top_p": 0.5},
        {"typical_mass": 0.6, "top_k": 9},
        {"typical_mass": 0.01, "top_k": 200},  # fewer are typical than may be kept
        {"top_p": 0.0},
        {"top_k": 1, "top_p": 0.8},
        {"temperature": 0.3, "repetition_penalty": 1.4},
        {"temperature": 1.7, "repetition_penalty": 0.8, "top_k": 500},
    ],
)
@pytest.mark.parametrize("n_rows", [1, 5])
def test_what_is_left_follows_the_definition(changes, n_rows):
    logits, seen = some_logits(n_rows, 301, seed=len(changes))

    wanted = sampling(**changes)
    left = wanted.scores(logits, seen)

    expected = reference(logits, seen, wanted)
    assert left.isinf().equal(expected.isinf())
    torch.testing.assert_close(left.double(), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("step", [None, 0.5])
def test_looking_at_the_best_alone_leaves_what_sorting_everything_leaves(step):
    """Also where many scores are equal, as those of networks with few digits."""
    logits, seen = some_logits(6, 8194, seed=3, step=step)

    quick = Sampling().scores(logits, seen)

    no_limit = Sampling(top_p=1.0, top_k=None).scores(logits, seen)
    is_among = no_limit >= no_limit.sort(descending=True).values[:, 49:50]
    assert (is_among.sum(-1) > 50).any() == (step is not None)
    among = torch.where(is_among, no_limit, -math.inf)
    # Now the last stage alone, on finite scores, for others are refused.
    nucleus = Sampling(temperature=1.0, repetition_penalty=1.0, top_k=None)
    assert quick.equal(nucleus.scores(among.clamp(min=-1e30), seen).where(is_among, -math.inf))


@pytest.mark.parametrize("step", [None, 0.5])
def test_no_row_depends_on_those_beside_it(step):
    logits, seen = some_logits(7, 8194, seed=4, step=step)
    numbers = torch.rand(7, generator=torch.Generator().manual_seed(5))

    together = Sampling().scores(logits, seen)
    alone = [Sampling().scores(logits[n : n + 1], seen[n : n + 1]) for n in range(7)]

    assert together.equal(torch.cat(alone))
    chosen = [choose(row, numbers[n : n + 1]) for n, row in enumerate(alone)]
    assert choose(together, numbers).equal(torch.cat(chosen))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_scores_that_are_no_numbers_are_an_error_of_the_checkpoint(value):
    logits, seen = some_logits(2, 40, seed=1)
    logits[1, 3] = value

    with pytest.raises(CheckpointError, match="scores that are no numbers"):
        Sampling().scores(logits, seen)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", 0.0),
        ("temperature", -1.0),
        ("temperature", math.inf),
        ("top_p", 1.01),
        ("top_p", -0.1),
        ("top_p", math.nan),
        ("top_k", 0),
        ("repetition_penalty", 0.0),
        ("typical_mass", 0.0),
        ("typical_mass", 1.0),
    ],
)
def test_a_value_out_of_its_range_is_refused_by_its_name(name, value):
    with pytest.raises(DataError, match=f"^{name} makes no sense: expected .* found {value!r}"):
        Sampling(**{name: value})


def test_codes_are_chosen_as_often_as_their_scores_say():
    scores = torch.tensor([[0.5, 2.0, -math.inf, 1.0, -math.inf]]).log_softmax(-1)
    n = 4000

    evenly = (torch.arange(n) + 0.5) / n
    chosen = choose(scores.expand(n, -1), evenly)

    shares = torch.bincount(chosen, minlength=5) / n
    torch.testing.assert_close(shares, scores.exp()[0], atol=1.5 / n, rtol=0)


def test_a_code_that_is_left_out_is_never_chosen():
    """Not at either end of the numbers, either, nor where other rows have more to choose from."""
    scores = torch.randn(300, 31, generator=torch.Generator().manual_seed(2))
    scores[:, [0, 7, 30]] = -math.inf
    scores[::2, 2:15] = -math.inf
    largest = torch.nextafter(torch.tensor(1.0), torch.tensor(0.0))

    for number in (torch.tensor(0.0), largest):
        chosen = choose(scores, number.expand(300))
        assert scores.gather(1, chosen.unsqueeze(1)).isfinite().all()
    assert choose(scores, torch.zeros(300)).eq(1).all()
    assert choose(scores, largest.expand(300)).eq(29).all()


def test_numbers_of_a_candidate_are_its_own():
    """Not those of its neighbour, of another sentence or of another seed, and the same in any company."""
    rows = uniforms(7, [0, 1, 2, 40], 33)

    assert rows.equal(torch.cat([uniforms(7, [n], 33) for n in (0, 1, 2, 40)]))
    assert uniforms(7, [40, 2], 33).equal(rows[[3, 2]])
    assert uniforms(7, [1], 9).equal(rows[1:2, :9])
    others = [uniforms(8, [0], 33), uniforms(7, [0], 33, sentence=1), uniforms(-7, [0], 33)]
    everything = torch.cat([rows, *others])
    assert len({tuple(row) for row in everything[:, :3].tolist()}) == 7
    assert ((everything >= 0) & (everything < 1)).all()


def test_numbers_are_spread_evenly():
    numbers = uniforms(1, range(50), 200).flatten()

    counts = torch.histc(numbers, bins=10, min=0, max=1)
    assert ((counts - 1000).abs() < 150).all()  # five times the spread of such a count


def test_the_same_numbers_are_drawn_on_every_machine_and_in_every_version():
    """Another order of hashing or drawing would change what everybody's seeds sound like."""
    digest = hashlib.sha256(b"1234,2,5").digest()[:8]
    generator = torch.Generator().manual_seed(int.from_bytes(digest, "big"))
    assert uniforms(1234, [5], 3, sentence=2)[0].equal(torch.rand(3, generator=generator))


TRANSFORMERS_LEAVES = """
import json, sys
import torch
from safetensors.torch import load_file, save_file
from transformers import LogitsProcessorList, RepetitionPenaltyLogitsProcessor, TemperatureLogitsWarper
from transformers import TopKLogitsWarper, TopPLogitsWarper
from tortoise.utils.typical_sampling import TypicalLogitsWarper
io, found = load_file(sys.argv[1]), {}
for name, s in json.loads(sys.argv[3]).items():
    steps = [RepetitionPenaltyLogitsProcessor(s["repetition_penalty"])]
    steps += [TypicalLogitsWarper(s["typical_mass"])] if s["typical_mass"] else []
    steps += [TemperatureLogitsWarper(s["temperature"])]
    steps += [TopKLogitsWarper(s["top_k"])] if s["top_k"] else []
    steps += [TopPLogitsWarper(s["top_p"])]
    found[name] = LogitsProcessorList(steps)(io["ids"], io["logits"].clone())
save_file(found, sys.argv[2])
"""


@pytest.mark.slow
@needs_tortoise
def test_what_is_left_equals_what_tortoise_leaves(tmp_path):
    logits, seen = some_logits(200, 8194, seed=11)
    wanted = {
        "usual": Sampling(),
        "typical": Sampling(typical_mass=0.9),
        "warm": Sampling(temperature=1.3, top_p=0.95, top_k=None, repetition_penalty=1.2),
    }
    save_file({"logits": logits, "ids": seen}, tmp_path / "in.safetensors")

    asked = json.dumps({name: asdict(each) for name, each in wanted.items()})
    ask_tortoise(TRANSFORMERS_LEAVES, tmp_path / "in.safetensors", tmp_path / "out.safetensors", asked)

    for name, theirs in load_file(tmp_path / "out.safetensors").items():
        assert wanted[name].scores(logits, seen).equal(theirs), name

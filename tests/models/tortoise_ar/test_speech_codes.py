"""Ends of spoken codes: where silence and the tail are put, and where listening ends."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from building.tortoise_itself import ask_tortoise, needs_tortoise
from retimbre.models.tortoise_ar.speech_codes import (
    SILENCE,
    TAIL,
    has_stopped,
    n_until_silence,
    settled,
)

STOP, MAX = 257, 40


def spoken(n_rows, n_codes, seed, *, stops_at=()):
    """Random codes, none of them a stop, but for the places given: one for each row, None for no stop."""
    codes = torch.randint(STOP, (n_rows, n_codes), generator=torch.Generator().manual_seed(seed))
    codes[codes == SILENCE] += 1
    for row, place in enumerate(stops_at):
        if place is not None:
            codes[row, place:] = STOP
    return codes


@pytest.mark.parametrize("n_codes", [21, MAX])
def test_from_the_first_stop_on_there_is_silence_and_then_the_tail(n_codes):
    codes = spoken(3, n_codes, 1, stops_at=(5, 20, 0))

    ended = settled(codes, STOP, MAX)

    assert ended.shape == (3, MAX)
    for row, place in enumerate((5, 20, 0)):
        assert ended[row, :place].equal(codes[row, :place])
        assert ended[row, place:-3].eq(SILENCE).all()
        assert tuple(ended[row, -3:].tolist()) == TAIL


def test_codes_after_a_first_stop_do_not_matter():
    codes = spoken(2, MAX, 2)
    codes[:, 9] = STOP
    codes[1, 10:] = torch.arange(10, MAX)

    ended = settled(codes, STOP, MAX)

    assert ended[:, 9:-3].eq(SILENCE).all()


@pytest.mark.parametrize("place", [MAX - 4, MAX - 3, MAX - 2, MAX - 1])
def test_the_tail_takes_the_last_places_from_speech_too(place):
    codes = spoken(1, MAX, 3, stops_at=(place,))

    ended = settled(codes, STOP, MAX)[0]

    n_same = min(place, MAX - 3)
    assert ended[:n_same].equal(codes[0, :n_same])
    assert tuple(ended[-3:].tolist()) == TAIL


def test_fewer_codes_than_there_could_be_are_an_end_without_a_stop_too():
    codes = spoken(2, 21, 8)

    ended = settled(codes, STOP, MAX)

    assert ended[:, :21].equal(codes)
    assert ended[:, 21:-3].eq(SILENCE).all()


def test_a_candidate_that_never_stops_stays_as_it_is():
    codes = spoken(3, MAX, 4, stops_at=(None, 7, None))

    assert has_stopped(codes, STOP).tolist() == [False, True, False]
    assert settled(codes, STOP, MAX)[[0, 2]].equal(codes[[0, 2]])


def test_codes_that_are_given_are_not_changed():
    codes = spoken(2, MAX, 5, stops_at=(7, 3))
    before = codes.clone()
    settled(codes, STOP, MAX)
    assert codes.equal(before)


@pytest.mark.parametrize(("n_silent", "n_heard"), [(8, 37), (9, 20), (15, 20)])
def test_of_a_long_silence_eight_codes_are_heard(n_silent, n_heard):
    codes = spoken(1, 37, 6)[0]
    codes[12 : 12 + n_silent] = SILENCE
    codes[30:32] = SILENCE  # a pause within speech

    assert n_until_silence(codes) == n_heard


def test_pauses_that_are_not_in_a_row_do_not_add_up():
    codes = spoken(1, 40, 7)[0]
    codes[::2] = SILENCE
    assert n_until_silence(codes) == 40
    assert n_until_silence(codes[:0]) == 0


TORTOISE_ENDS = """
import ast, importlib.util, pathlib, sys, torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
# Its function alone: the module imports packages that have nothing to do with it.
name = "fix_autoregressive_output"
folder = importlib.util.find_spec("tortoise").submodule_search_locations[0]
parts = ast.parse(pathlib.Path(folder, "api.py").read_text()).body
exec(ast.unparse(next(part for part in parts if getattr(part, "name", "") == name)))
stop, longest = int(sys.argv[3]), int(sys.argv[4])
codes = F.pad(load_file(sys.argv[1])["codes"], (0, longest), value=stop)[:, :longest]
ended = [fix_autoregressive_output(row, stop, complain=False) for row in codes]
save_file({"codes": torch.stack(ended)}, sys.argv[2])
"""


@pytest.mark.slow
@needs_tortoise
@pytest.mark.parametrize("n_codes", [33, 39, 40])
def test_ends_equal_those_of_tortoise(tmp_path, n_codes):
    """Where there are few codes, stops are many and anywhere, silence is frequent, and some never stop."""
    codes = torch.randint(80, 120, (400, n_codes), generator=torch.Generator().manual_seed(n_codes))
    save_file({"codes": codes}, tmp_path / "in.safetensors")

    ask_tortoise(TORTOISE_ENDS, tmp_path / "in.safetensors", tmp_path / "out.safetensors", "119", str(MAX))

    assert has_stopped(codes, 119).unique().tolist() == [False, True]
    assert settled(codes, 119, MAX).equal(load_file(tmp_path / "out.safetensors")["codes"])

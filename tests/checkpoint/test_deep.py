"""A look at every number finds what is odd, and nothing else."""

import math

import pytest
import torch

from retimbre.checkpoint.deep import oddities_of

SOUND = {
    "w": torch.randn(5, 7),
    "half": torch.randn(9).bfloat16(),
    "ids": torch.arange(5),
    "scalar": torch.tensor(2.0),
}


def test_sound_tensors_are_not_mentioned():
    assert (
        oddities_of(SOUND | {"mask": torch.tensor([True, False]), "z": torch.randn(3, dtype=torch.complex64)})
        == {}
    )


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_what_is_not_finite_is_counted(dtype):
    numbers = torch.randn(11, 3).to(dtype)
    numbers[2, 1], numbers[5, 0], numbers[9, 2] = math.nan, math.inf, -math.inf
    assert oddities_of(SOUND | {"bad": numbers}) == {"bad": "1 NaN, 2 infinite of 33"}
    numbers[2, 1] = 0.0
    assert oddities_of({"bad": numbers}) == {"bad": "2 infinite of 33"}


@pytest.mark.parametrize("place", [(0, 0), (10, 2), (4, 1)])
def test_one_nan_anywhere_is_found(place):
    numbers = torch.randn(11, 3)
    numbers[place] = math.nan
    assert oddities_of({"bad": numbers}) == {"bad": "1 NaN of 33"}


def test_only_infinite_numbers_are_infinite():
    assert oddities_of({"bad": torch.full((4,), math.inf)}) == {"bad": "4 infinite of 4"}


def test_constant_and_empty_tensors_are_odd():
    found = oddities_of(
        {
            "zeros": torch.zeros(3, 4),
            "ints": torch.full((5,), 7),
            "mask": torch.ones(2, dtype=torch.bool),
            "complex": torch.zeros(3, dtype=torch.complex64),
            "empty": torch.empty(0, 3),
            "one": torch.tensor([4.0]),
        }
    )
    assert found == {
        "zeros": "all 12 values are 0",
        "ints": "all 5 values are 7",
        "mask": "all 2 values are 1",
        "complex": "all 3 values are 0",
        "empty": "holds no numbers",
    }


def test_narrow_floats_are_looked_at_by_their_bits():
    narrow = torch.randn(64).to(torch.float8_e4m3fn)
    assert oddities_of({"w": narrow}) == {}
    assert list(oddities_of({"w": torch.zeros(3).to(torch.float8_e5m2)})) == ["w"]

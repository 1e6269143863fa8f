"""What is odd in a tensor's numbers is found by one look, in any dtype, layout and size."""

from pathlib import Path

import pytest
import torch

from retimbre.checkpoint import deep
from retimbre.checkpoint.deep import look_deep
from retimbre.checkpoint.lazy import LazyTensors
from retimbre.checkpoint.read import Contents, read

NAN, INF = float("nan"), float("inf")
FLOATS = [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e5m2, torch.complex64]
WHOLE = [
    torch.int64,
    torch.int32,
    torch.int16,
    torch.int8,
    torch.uint8,
    torch.uint16,
    torch.uint32,
    torch.uint64,
]


def oddities(**tensors):
    contents = Contents(path=Path("a"), container="torch-zip", tensors=LazyTensors.in_memory(tensors))
    return {oddity.name: oddity.what for oddity in look_deep(contents)}


@pytest.fixture(params=[1 << 22, 7])
def chunk(request, monkeypatch):
    """As many numbers at a time, so that a small tensor is looked at in many parts, too."""
    monkeypatch.setattr(deep, "CHUNK", request.param)


@pytest.mark.parametrize("dtype", FLOATS)
def test_what_is_no_finite_number_is_counted(chunk, dtype):
    good = torch.randn(5, 9)
    spoilt = good.clone()
    spoilt[1, 2] = spoilt[4, 8] = NAN
    endless = good.clone()
    endless[0, 0], endless[3, 3], endless[4, 4] = INF, -INF, INF
    both = endless.clone()
    both[2, 2] = NAN
    found = oddities(
        good=good.to(dtype), spoilt=spoilt.to(dtype), endless=endless.to(dtype), both=both.to(dtype)
    )
    assert found == {"spoilt": "2 NaN", "endless": "3 infinite", "both": "1 NaN, 3 infinite"}


@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_nothing_but_such_values(chunk, value):
    kind = "NaN" if value != value else "infinite"
    assert oddities(w=torch.full((3, 6), value)) == {"w": f"18 {kind}"}


@pytest.mark.parametrize("dtype", [*FLOATS[:5], *WHOLE])
def test_equal_values_are_named_with_the_value(chunk, dtype):
    different = torch.arange(3, 33).reshape(5, 6)
    first = different.clone()
    first[:] = 3
    last = first.clone()
    last[4, 5] = 4
    found = oddities(same=first.to(dtype), last=last.to(dtype), different=different.to(dtype))
    assert found == {"same": f"all values equal {first.to(dtype)[0, 0].item()}"}


def test_truth_values_are_compared_too(chunk):
    some = torch.randn(4, 5) > 0
    some[0, 0], some[3, 4] = True, False
    assert oddities(all=torch.ones(4, 5, dtype=torch.bool), some=some) == {"all": "all values equal True"}


def test_one_number_is_not_odd_and_none_is_noted(chunk):
    assert oddities(one=torch.randn(1), scalar=torch.tensor(0.0), none=torch.empty(3, 0)) == {
        "none": "no values"
    }


def test_turned_and_repeated_tensors_are_seen_whole(chunk):
    turned = torch.randn(9, 8).t()
    turned[7, 8] = NAN
    assert oddities(turned=turned, repeated=torch.randn(1, 6).expand(40, 6)) == {"turned": "1 NaN"}


def test_a_file_is_looked_at_and_its_optimiser_is_not(tmp_path):
    weights = {"good": torch.randn(4, 3), "dead": torch.zeros(4)}
    torch.save({"state_dict": weights, "optimizer": {"exp_avg": torch.zeros(8)}}, tmp_path / "a.ckpt")
    found = look_deep(read(tmp_path / "a.ckpt"))
    assert [(oddity.name, oddity.what) for oddity in found] == [("dead", "all values equal 0.0")]

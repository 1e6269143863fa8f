"""What two checkpoints share, tensor by tensor."""

import json
import math

import pytest
import torch

from building.models import generator_config, save_vocoder
from retimbre.models.compare import compare
from retimbre.models.hifigan import HIFIGAN


@pytest.fixture
def saved(tmp_path):
    def save(name, tensors):
        torch.save(tensors, tmp_path / name)
        return tmp_path / name

    return save


def test_equal_changed_reshaped_and_lone_tensors_are_told_apart(saved):
    same, moved = torch.randn(3, 4), torch.randn(5)
    a = saved("a.pth", {"same": same, "moved": moved, "grown": torch.randn(2, 3), "old": torch.randn(1)})
    b = saved(
        "b.pth", {"same": same, "moved": moved + 0.5, "grown": torch.randn(4, 3), "new": torch.randn(1)}
    )
    found = compare(a, b)
    assert found.equal == ("same",)
    assert [change.name for change in found.changed] == ["moved"]
    assert found.changed[0].largest == pytest.approx(0.5, rel=1e-5)
    assert found.changed[0].relative == pytest.approx(0.5 * math.sqrt(5) / float(moved.norm()), rel=1e-5)
    assert found.reshaped == {"grown": ((2, 3), (4, 3))}
    assert (found.only_first, found.only_second) == (("old",), ("new",))
    for part in ("1 equal, 1 changed", "another shape: grown (2, 3) and (4, 3)", "only in a.pth: 1: old"):
        assert part in found.to_text()


def test_the_furthest_stand_first(saved):
    tensors = {name: torch.randn(7) for name in "abc"}
    far = {
        name: tensor * factor for (name, tensor), factor in zip(tensors.items(), (1.1, 3.0, 1.5), strict=True)
    }
    found = compare(saved("a.pth", tensors), saved("b.pth", far))
    assert [change.name for change in found.changed] == ["b", "c", "a"]


def test_one_family_is_compared_under_our_names_whatever_the_spelling(tmp_path, saved):
    ours = save_vocoder(tmp_path / "ours.safetensors", generator_config(), has_discriminators=False)
    weights = {name: t.clone() for name, t in HIFIGAN.build(generator_config()).state_dict().items()}
    other = saved("theirs.pth", {"state_dict": HIFIGAN.theirs(weights)})
    found = compare(ours, other)
    assert found.names == "our"
    assert not found.only_first
    assert not found.only_second


def test_bits_decide_not_values(saved):
    a = saved("a.pth", {"nan": torch.tensor([math.nan, 1.0]), "zero": torch.tensor([0.0, 1.0])})
    b = saved("b.pth", {"nan": torch.tensor([math.nan, 1.0]), "zero": torch.tensor([-0.0, 1.0])})
    found = compare(a, b)
    assert found.equal == ("nan",)
    assert [change.name for change in found.changed] == ["zero"]


def test_infinite_differences_stay_json(saved):
    a = saved("a.pth", {"x": torch.tensor([0.0, 0.0]), "y": torch.tensor([1.0, 2.0])})
    b = saved("b.pth", {"x": torch.tensor([0.0, 1.0]), "y": torch.tensor([1.0, math.inf])})
    values = json.loads(json.dumps(compare(a, b).to_dict(), allow_nan=False))
    assert values["changed"]["x"] == {"relative": None, "largest": 1.0}
    assert values["changed"]["y"]["largest"] is None


def test_integers_and_half_precision_are_compared_too(saved):
    a = saved("a.pth", {"n": torch.tensor([1, 2]), "half": torch.randn(3).half()})
    b = saved("b.pth", {"n": torch.tensor([1, 5]), "half": torch.randn(3).half()})
    found = {change.name: change.largest for change in compare(a, b).changed}
    assert found["n"] == 3.0
    assert found["half"] > 0

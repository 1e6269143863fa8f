"""Weight norm in a file: renamed, split, left alone; and what is said where a layer's size is not known."""

import pytest
import torch

from retimbre.checkpoint.keys import DIRECTION, LENGTH, folded
from retimbre.checkpoint.ledger import Ledger
from retimbre.checkpoint.weight_norm import take_weight_norm, weight_shape
from retimbre.errors import CheckpointError

OLDER = {
    "a.0.weight_g": torch.rand(4, 1, 1),
    "a.0.weight_v": torch.randn(4, 3, 5),
    "a.0.bias": torch.randn(4),
}


def taken(tensors, layers=r"a\.\d+"):
    ledger = Ledger(tensors)
    take_weight_norm(ledger, layers)
    return ledger


def test_older_names_are_renamed_and_the_numbers_stay():
    ledger = taken(OLDER)

    assert set(ledger.tensors) == {"a.0" + LENGTH, "a.0" + DIRECTION, "a.0.bias"}
    assert ledger.tensors["a.0" + LENGTH] is OLDER["a.0.weight_g"]
    assert ledger.source("a.0" + DIRECTION) == "a.0.weight_v"


def test_half_of_a_pair_is_renamed_too():
    ledger = taken({"a.0.weight_v": OLDER["a.0.weight_v"]})

    assert list(ledger.tensors) == ["a.0" + DIRECTION]


def test_a_layer_in_both_spellings_is_an_error_that_names_both():
    both = OLDER | {"a.0" + LENGTH: OLDER["a.0.weight_g"]}

    with pytest.raises(CheckpointError, match=r"two tensors .* found a\.0\.weight_g, a\.0\.parametrizations"):
        taken(both)


def test_a_spectral_norm_keeps_its_vectors():
    spectral = {"a.0.weight_orig": torch.randn(4, 3, 5), "a.0.weight_u": torch.randn(4)}
    vectors = {"a.0.weight_v": torch.randn(15)}

    assert taken(spectral | vectors).tensors.keys() == (spectral | vectors).keys()


def test_a_folded_weight_is_split_without_a_change():
    weight = torch.randn(4, 3, 5)

    ledger = taken({"a.0.weight": weight})

    torch.testing.assert_close(folded(ledger.tensors)["a.0.weight"], weight)
    assert ledger.tensors["a.0" + LENGTH].shape == (4, 1, 1)
    assert ledger.source("a.0" + LENGTH) == ledger.source("a.0" + DIRECTION) == "a.0.weight"


@pytest.mark.parametrize("shape", [(4, 3), (4, 3, 5), (4, 1, 5, 1)])
def test_a_folded_weight_without_numbers_has_the_shapes_of_one_with_numbers(shape):
    real, bare = (taken({"a.0.weight": torch.ones(shape, device=device)}) for device in ("cpu", "meta"))

    assert {n: t.shape for n, t in real.tensors.items()} == {n: t.shape for n, t in bare.tensors.items()}


@pytest.mark.parametrize("shape", [(), (4,)])
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_what_can_be_no_weight_keeps_its_name(shape, device):
    assert list(taken({"a.0.weight": torch.ones(shape, device=device)}).tensors) == ["a.0.weight"]


def test_other_layers_are_left_alone():
    others = {"b.weight": torch.ones(2, 2), "a.0.weight_u": torch.ones(2), "xa.0.weight_g": torch.ones(2)}

    ledger = taken(others)

    assert set(ledger.tensors) == set(others)


def test_a_layer_that_is_there_twice_is_refused():
    with pytest.raises(CheckpointError, match="two tensors of the file stand for 'a.0"):
        taken(OLDER | {"a.0.weight": torch.randn(4, 3, 5)})


@pytest.mark.parametrize("shapes", [{}, {"a.0" + DIRECTION: (4, 3)}], ids=["missing", "two axes"])
def test_a_weight_that_tells_nothing_is_named(shapes):
    with pytest.raises(CheckpointError, match=rf"expected a tensor 'a\.0{DIRECTION}' with 3 axes"):
        weight_shape(shapes, "a.0")


def test_the_shape_of_a_weight_is_that_of_its_direction():
    assert weight_shape({"a.0" + DIRECTION: (4, 3, 5)}, "a.0") == (4, 3, 5)

"""Sizes by majority: one wrong tensor changes nothing."""

import pytest

from retimbre.errors import CheckpointError
from retimbre.models.votes import count, vote

CLAIMS = {"a.weight": 1, "b.bias": 0, "c.weight": -1}
LAYERS = ("h.{}.norm.weight", "h.{}.norm.bias", "h.{}.fc.bias")


def stack(n_layers):
    return {template.format(layer): (8,) for template in LAYERS for layer in range(n_layers)}


@pytest.mark.parametrize("damaged", ["a.weight", "b.bias", "c.weight"])
def test_one_damaged_tensor_is_outvoted(damaged):
    shapes = {"a.weight": (3, 8), "b.bias": (8,), "c.weight": (5, 8)}
    shapes[damaged] = tuple(n + 1 for n in shapes[damaged])

    assert vote(shapes, "dim", CLAIMS) == 8


def test_absent_tensors_and_those_without_such_an_axis_do_not_vote():
    assert vote({"a.weight": (3,), "c.weight": (5, 8)}, "dim", CLAIMS) == 8
    assert vote({"b.bias": (), "c.weight": (8,)}, "dim", CLAIMS) == 8


def test_tensors_that_contradict_each_other_with_equal_right_are_all_named():
    with pytest.raises(
        CheckpointError, match="about dim: expected one length, found 7 by 'a.weight', 8 by 'c.weight'"
    ):
        vote({"c.weight": (5, 8), "a.weight": (3, 7)}, "dim", CLAIMS)


def test_even_lengths_of_odd_kernels_do_not_vote():
    shapes = {"a.weight": (3, 4), "b.bias": (8,), "c.weight": (5, 5)}
    assert vote(shapes, "kernel", CLAIMS, is_odd=True) == 5


def test_where_nobody_votes_the_tensors_are_named():
    message = (
        "no tensor tells dim: expected 'a.weight' with at least 2 axes or 'b.bias' with at least 1 axis or "
        "'c.weight' with at least 1 axis, found 'a.weight' of shape"
    )
    with pytest.raises(CheckpointError, match=message):
        vote({"a.weight": (3,)}, "dim", CLAIMS)
    with pytest.raises(CheckpointError, match="found none of them"):
        vote({"d.weight": (3, 3)}, "dim", CLAIMS)


@pytest.mark.parametrize("n_layers", [0, 1, 2, 11])
def test_layers_are_counted(n_layers):
    assert count(stack(n_layers), LAYERS) == n_layers


@pytest.mark.parametrize("removed", [template.format(1) for template in LAYERS])
def test_a_missing_tensor_of_the_last_layer_does_not_hide_it(removed):
    shapes = stack(2)
    del shapes[removed]

    assert count(shapes, LAYERS) == 2


def test_an_added_tensor_does_not_add_a_layer():
    assert count(stack(2) | {"h.7.fc.bias": (8,)}, LAYERS) == 2


def test_names_are_matched_in_full():
    shapes = stack(1) | {
        "x.h.3.fc.bias": (8,),
        "h.3.fc.bias.more": (8,),
        "h.-4.fc.bias": (8,),
        "h.٣.fc.bias": (),
    }

    assert count(shapes, ("h.{}.fc.bias",)) == 1


def test_a_number_beyond_all_tensors_is_refused():
    with pytest.raises(CheckpointError, match="parts are missing before 'h.99999.fc.bias'"):
        count({"h.99999.fc.bias": (8,)}, LAYERS)

"""Frozen tensors: named by the beginnings of their names."""

import pytest
import torch
from torch import nn

from retimbre.errors import RecipeError
from retimbre.training.freezing import freeze


def network():
    return nn.ModuleDict(
        {"encoder": nn.Linear(3, 4), "encoder_norm": nn.BatchNorm1d(4), "decoder": nn.Linear(4, 2)}
    )


def moving(module):
    return {name for name, parameter in module.named_parameters() if parameter.requires_grad}


def test_parameters_with_a_frozen_beginning_stop_and_are_counted():
    module = network()

    assert freeze(module, ["encoder.", "decoder.bias"]) == 3
    assert moving(module) == {"encoder_norm.weight", "encoder_norm.bias", "decoder.weight"}


def test_a_tensor_under_two_beginnings_is_counted_once():
    assert freeze(network(), ["encoder", "encoder.weight"]) == 4


def test_nothing_named_is_nothing_frozen():
    module = network()

    assert freeze(module, []) == 0
    assert len(moving(module)) == 6


def test_a_beginning_that_fits_no_tensor_is_an_error_and_freezes_nothing():
    module = network()

    with pytest.raises(RecipeError) as told:
        freeze(module, ["encoder", "decodr"])

    assert str(told.value) == (
        "training.frozen names 'decodr', but no tensor begins so: "
        "expected one of decoder, encoder, encoder_norm"
    )
    assert len(moving(module)) == 6


def test_a_frozen_norm_keeps_its_running_mean_and_works_with_it():
    norm = nn.ModuleDict({"norm": nn.BatchNorm1d(4)})
    freeze(norm, ["norm"])
    norm.train()
    x = torch.randn(9, 4) * 3 + 1
    before = {name: tensor.clone() for name, tensor in norm.state_dict().items()}

    in_training = norm["norm"](x)

    assert all(tensor.equal(before[name]) for name, tensor in norm.state_dict().items())
    torch.testing.assert_close(in_training, norm.eval()["norm"](x))


def test_a_norm_of_which_a_part_moves_goes_on_measuring():
    norm = nn.ModuleDict({"norm": nn.BatchNorm1d(4)})
    freeze(norm, ["norm.bias"])
    norm.train()["norm"](torch.randn(9, 4) * 3 + 1)

    assert norm["norm"].running_mean.abs().sum() > 0

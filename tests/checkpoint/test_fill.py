"""Weights fit exactly, or the message says what does not."""

import pytest
import torch
from torch import nn

from retimbre.checkpoint.fill import load_weights
from retimbre.errors import CheckpointError


def test_every_parameter_and_buffer_is_filled():
    torch.manual_seed(1)
    model, other = (nn.Sequential(nn.Linear(5, 3), nn.BatchNorm1d(3)) for _ in range(2))
    other(torch.randn(7, 5))
    load_weights(model, other.state_dict())
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in model.state_dict().items())


def test_what_is_missing_unused_or_of_another_shape_is_named():
    tensors = nn.Linear(5, 3).state_dict()
    tensors["weight"] = torch.randn(4, 5)
    tensors["scale"] = tensors.pop("bias")
    with pytest.raises(CheckpointError) as caught:
        load_weights(nn.Linear(5, 3), tensors)
    message = str(caught.value)
    for part in (
        "1 missing (bias)",
        "1 unused (scale)",
        "weight: model (3, 5), file (4, 5)",
        "retimbre inspect",
    ):
        assert part in message


def test_a_model_that_does_not_fit_stays_as_it_was():
    model = nn.Linear(5, 3)
    before = model.weight.detach().clone()
    with pytest.raises(CheckpointError):
        load_weights(model, {"weight": torch.randn(3, 5)})
    assert torch.equal(model.weight, before)

"""Weight norm: torch's own numbers and names, also without numbers."""

import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from retimbre.nn.weight_norm import fold_weight_norm, weight_norm

LAYERS = pytest.mark.parametrize(
    "layer",
    [
        lambda: nn.Conv1d(3, 4, 5),
        lambda: nn.ConvTranspose1d(4, 2, 6),
        lambda: nn.Conv2d(1, 3, (5, 1)),
        lambda: nn.Linear(3, 2),
    ],
    ids=["conv1d", "transposed", "conv2d", "linear"],
)


@LAYERS
def test_it_has_the_tensors_of_torchs_own(layer):
    torch.manual_seed(1)
    ours = weight_norm(layer())
    torch.manual_seed(1)
    theirs = parametrizations.weight_norm(layer())

    assert list(ours.state_dict()) == list(theirs.state_dict())
    for name, tensor in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[name], tensor)
    assert torch.equal(ours.weight, theirs.weight)


@LAYERS
def test_on_the_meta_device_it_has_the_same_shapes(layer):
    real = weight_norm(layer())
    with torch.device("meta"):
        bare = weight_norm(layer())

    for name, tensor in real.state_dict().items():
        assert bare.state_dict()[name].shape == tensor.shape
        assert bare.state_dict()[name].is_meta


def test_without_numbers_no_compiler_is_loaded():
    code = """
import sys, torch
from retimbre.checkpoint.keys import unfolded
from retimbre.nn.weight_norm import weight_norm
with torch.device("meta"):
    weight = weight_norm(torch.nn.Conv1d(3, 4, 5)).parametrizations.weight.original1
    unfolded({"a.weight": weight}, ["a"])
sys.exit("torch._dynamo" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@LAYERS
def test_folding_keeps_the_weight_and_leaves_the_plain_names(layer):
    torch.manual_seed(1)
    network = nn.Sequential(weight_norm(layer()))
    network[0].parametrizations.weight.original0.data *= 3
    before = network[0].weight.clone()

    fold_weight_norm(network)

    torch.testing.assert_close(network[0].weight, before)
    assert sorted(network.state_dict()) == ["0.bias", "0.weight"]

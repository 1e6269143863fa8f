"""A packed network gives what the network itself gives."""

import copy

import pytest
import torch
from torch import nn

from retimbre.nn.conv import ConvOverTime
from retimbre.nn.packing import PackedConv, PackedConvOf3, PackedLinear, packed

PRECISIONS = {"float32": 1e-5, "bfloat16": 2e-2, "int8": 3e-2}  # how far off, as a share of what is usual


class Network(nn.Module):
    """One layer of each sort, and a part that is left out."""

    def __init__(self):
        super().__init__()
        self.parts = nn.Sequential(ConvOverTime(6, 32, 3), nn.LayerNorm(32), nn.Linear(32, 32, bias=False))
        self.grouped = ConvOverTime(32, 8, 3, groups=4)
        self.dilated = ConvOverTime(8, 8, 3, dilation=2)
        self.missing = None
        self.register_module("nothing", None)

    def forward(self, x):
        return self.dilated(self.grouped(self.parts(x)))


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def assert_near(found, expected, share):
    error = (found.double() - expected.double()).square().mean().sqrt()
    assert error <= share * expected.double().square().mean().sqrt()


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("n_times", [1, 2, 3, 8, 33])
@pytest.mark.parametrize("has_bias", [True, False])
@torch.no_grad()
def test_a_convolution_gives_what_the_layer_gives(kernel, n_times, has_bias, precision):
    layer = ConvOverTime(32, 40, kernel)
    if not has_bias:
        layer.bias = None
    x = torch.randn(2, n_times, 32)

    found = packed(layer, precision)(x)

    assert found.shape == (2, n_times, 40)
    expected = copy.deepcopy(layer).double()(x.double())
    assert_near(found, expected, PRECISIONS[precision])


@pytest.mark.parametrize("kind", [PackedConv, PackedConvOf3])
@torch.no_grad()
def test_both_ways_to_convolve_agree(kind):
    layer, x = ConvOverTime(7, 5, 3).double(), torch.randn(3, 12, 7, dtype=torch.float64)

    found = kind(layer.float(), precision="float32", rows=4)(x.float())

    torch.testing.assert_close(found.double(), layer.double()(x), atol=1e-6, rtol=1e-5)


@torch.no_grad()
def test_a_network_gives_what_it_gave():
    network, x = Network().eval(), torch.randn(2, 9, 6)

    torch.testing.assert_close(packed(network)(x), network(x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("precision", PRECISIONS)
@torch.no_grad()
def test_parts_of_a_network_are_as_precise_as_asked(precision):
    parts, x = Network().eval().parts, torch.randn(2, 9, 6)

    assert_near(packed(parts, precision)(x), parts(x), 2 * PRECISIONS[precision])


@torch.no_grad()
def test_the_network_itself_stays_as_it_was():
    network, x = Network().eval(), torch.randn(2, 9, 6)
    before, names = network(x), list(network.state_dict())

    speaking = packed(network, "bfloat16")

    assert torch.equal(network(x), before)
    assert list(network.state_dict()) == names
    assert [type(part) for part in network.parts] == [ConvOverTime, nn.LayerNorm, nn.Linear]
    assert [type(part) for part in speaking.parts] == [PackedConvOf3, nn.LayerNorm, PackedLinear]
    assert speaking.parts[1].weight is network.parts[1].weight


def test_layers_that_cannot_be_packed_are_shared():
    network = Network()

    speaking = packed(network)

    assert type(speaking) is Network
    assert speaking.grouped.weight is network.grouped.weight
    assert speaking.dilated.weight is network.dilated.weight
    assert speaking.nothing is None

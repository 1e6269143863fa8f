"""A packed layer gives what a linear layer gives, as precisely as its numbers are."""

import pytest
import torch
from torch.nn import functional

from retimbre.nn.packed import FEW_ROWS, Packed, quantised

ROUNDING = 2.0**-8  # the most that rounding to bfloat16 changes a number, as a share of it
SHAPES = [(1, 3), (5, 40), (70, 96)]  # out, in
LEADS = [(1,), (FEW_ROWS,), (33,), (2, 3), (), (2, 0)]


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.fixture(params=[True, False], ids=["oneDNN", "plain"])
def _with_and_without_onednn(request, monkeypatch):
    if not request.param:
        monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)


def exactly(x, weight, bias):
    return functional.linear(x.double(), weight.double(), None if bias is None else bias.double())


@pytest.mark.usefixtures("_with_and_without_onednn")
@pytest.mark.parametrize("has_bias", [True, False])
@pytest.mark.parametrize("lead", LEADS)
@pytest.mark.parametrize("shape", SHAPES)
class TestProduct:
    def inputs(self, shape, lead, has_bias):
        dim_out, dim_in = shape
        bias = torch.randn(dim_out) if has_bias else None
        return torch.randn(*lead, dim_in), torch.randn(shape), bias

    def test_float32_is_a_linear_layer(self, shape, lead, has_bias):
        x, weight, bias = self.inputs(shape, lead, has_bias)

        found = Packed(weight, bias)(x)

        assert found.dtype == torch.float32
        torch.testing.assert_close(found.double(), exactly(x, weight, bias), atol=2e-5, rtol=1e-5)

    def test_bfloat16_rounds_weight_and_input_and_result(self, shape, lead, has_bias):
        x, weight, bias = self.inputs(shape, lead, has_bias)

        found = Packed(weight, bias, precision="bfloat16", rows=16)(x)

        expected = exactly(x, weight, bias)
        sums = exactly(x.abs(), weight.abs(), bias if bias is None else bias.abs())
        assert found.dtype == torch.float32
        assert found.shape == expected.shape
        assert bool(((found - expected).abs() <= ROUNDING * (2.1 * sums + 1.1 * expected.abs())).all())

    def test_int8_rounds_each_row_of_the_weight_to_its_own_levels(self, shape, lead, has_bias):
        x, weight, bias = self.inputs(shape, lead, has_bias)
        weight *= torch.logspace(-3, 3, shape[0]).unsqueeze(1)  # rows of every size

        found = Packed(weight, bias, precision="int8")(x)

        expected = exactly(x, weight, bias)
        half_level = weight.abs().amax(1, keepdim=True) / 127 / 2
        sums, levels = exactly(x.abs(), weight.abs(), None), exactly(x.abs(), half_level.expand(shape), None)
        assert found.dtype == torch.float32
        assert found.shape == expected.shape
        assert bool(((found - expected).abs() <= 1.02 * levels + ROUNDING * 4.1 * sums + 1e-5).all())


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "int8"])
def test_what_is_given_in_bfloat16_comes_back_so(precision):
    x, weight = torch.randn(3, 32), torch.randn(8, 32)

    found = Packed(weight, precision=precision)(x.bfloat16())

    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), x @ weight.T, atol=0.3, rtol=0.05)


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "int8"])
def test_rows_need_not_lie_together_nor_be_as_many_as_expected(precision):
    x, weight, bias = torch.randn(2, 64, 19), torch.randn(48, 64), torch.randn(48)
    layer = Packed(weight, bias, precision=precision, rows=1)

    torch.testing.assert_close(layer(x.transpose(1, 2)), layer(x.transpose(1, 2).contiguous()))
    torch.testing.assert_close(
        layer(x.transpose(1, 2)), layer(x.transpose(1, 2).double()).float(), atol=0.1, rtol=0.1
    )


def test_a_layer_keeps_nothing_of_the_graph_of_its_weight():
    weight, x = torch.randn(4, 8, requires_grad=True), torch.randn(3, 8)

    assert not Packed(weight, precision="int8")(x).requires_grad
    assert not Packed(weight)(x).requires_grad


def test_a_row_of_nothing_stays_nothing_in_int8():
    weight = torch.randn(6, 32)
    weight[2] = 0

    levels, scale = quantised(weight)

    assert levels[2].eq(0).all()
    assert scale.isfinite().all()
    assert Packed(weight, precision="int8")(torch.randn(5, 32))[:, 2].eq(0).all()


def test_levels_are_used_to_the_end():
    levels, scale = quantised(torch.randn(50, 96))

    assert levels.abs().amax(1).min() >= 126
    assert levels.min() >= -127
    assert scale.dtype == torch.bfloat16

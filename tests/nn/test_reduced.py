"""Products of a reduced precision: autocast's numbers, without a second copy of the weights."""

import pytest
import torch
from torch.nn import functional

from retimbre.nn.reduced import reduced_kind, reduced_product

BFLOAT16_STEP = 2**-8


def layer(*, lead=(3, 7), dim_in=33, dim_out=50, seed=0):
    torch.manual_seed(seed)
    x, weight, bias = torch.randn(*lead, dim_in), torch.randn(dim_in, dim_out), torch.randn(dim_out)
    return [tensor.requires_grad_() for tensor in (x, weight, bias)]


def gradients_of(y, tensors, seed=1):
    torch.manual_seed(seed)
    return torch.autograd.grad(y, tensors, torch.randn(y.shape).to(y.dtype))


@pytest.mark.parametrize("lead", [(3, 7), (1, 1), (5,)])
def test_it_gives_what_autocast_gives(lead):
    tensors = x, weight, bias = layer(lead=lead)
    with torch.autocast("cpu", torch.bfloat16):
        theirs = functional.linear(x, weight.T, bias)
    ours = reduced_product(x, weight, bias, torch.bfloat16)

    assert ours.dtype == theirs.dtype
    torch.testing.assert_close(ours, theirs, rtol=2 * BFLOAT16_STEP, atol=0.05)
    for one, other in zip(gradients_of(ours, tensors), gradients_of(theirs, tensors), strict=True):
        assert one.dtype == other.dtype == torch.float32
        torch.testing.assert_close(one, other, rtol=2 * BFLOAT16_STEP, atol=0.05)


def test_result_and_gradients_are_within_one_rounding_of_each_number_that_went_in():
    tensors = x, weight, bias = layer(lead=(4, 65), dim_in=128, dim_out=96)
    exact = [tensor.detach().double().requires_grad_() for tensor in tensors]
    y, true = reduced_product(x, weight, bias, torch.bfloat16), exact[0] @ exact[1] + exact[2]

    for one, other in zip([y, *gradients_of(y, tensors)], [true, *gradients_of(true, exact)], strict=True):
        assert (one.double() - other).norm() < BFLOAT16_STEP * other.norm()


def test_a_frozen_weight_gets_no_gradient_and_keeps_nothing_that_it_read():
    x, weight, bias = layer()
    weight.requires_grad_(False)
    bias.requires_grad_(False)
    sizes = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: sizes.append(t.shape) or t, lambda t: t):
        y = reduced_product(x, weight, bias, torch.bfloat16)
    y.float().square().sum().backward()

    assert sizes == [weight.shape]
    assert weight.grad is bias.grad is None
    assert x.grad.abs().min() > 0


def test_nothing_of_the_size_of_the_weight_is_kept_but_the_weight_itself():
    x, weight, bias = layer()
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        reduced_product(x, weight, bias, torch.bfloat16)

    assert [t.data_ptr() for t in kept if t.shape == weight.shape] == [weight.data_ptr()]


def test_a_weight_that_is_reduced_already_gives_the_same():
    x, weight, bias = layer()
    frozen = weight.detach().bfloat16()

    assert reduced_product(x, frozen, bias, torch.bfloat16).equal(
        reduced_product(x, weight, bias, torch.bfloat16)
    )


def test_the_kind_is_that_of_autocast_and_none_outside_of_it():
    x = torch.randn(2)
    with torch.autocast("cpu", torch.bfloat16):
        inside = reduced_kind(x)

    assert (inside, reduced_kind(x)) == (torch.bfloat16, None)

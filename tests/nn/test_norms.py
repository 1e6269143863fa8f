import pytest
import torch
from torch import nn

from retimbre.nn.masks import mask_from_lengths
from retimbre.nn.norms import MaskedBatchNorm1d


def a_pair(dim):
    ours, theirs = MaskedBatchNorm1d(dim), nn.BatchNorm1d(dim)
    nn.init.normal_(ours.weight)
    nn.init.normal_(ours.bias)
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


@pytest.mark.parametrize("is_training", [True, False])
def test_without_padding_it_is_batch_norm(is_training):
    torch.manual_seed(0)
    ours, theirs = a_pair(5)
    for _ in range(3):
        x = torch.randn(4, 7, 5) * 3 + 2
        ours(x, torch.ones(4, 7, dtype=torch.bool))
        theirs(x.transpose(1, 2))
    ours.train(is_training)
    theirs.train(is_training)
    x = torch.randn(4, 7, 5)

    torch.testing.assert_close(ours(x, torch.ones(4, 7).bool()), theirs(x.transpose(1, 2)).transpose(1, 2))
    torch.testing.assert_close(ours.state_dict(), theirs.state_dict())


def test_statistics_are_those_of_real_frames():
    torch.manual_seed(0)
    ours, theirs = a_pair(3)
    lengths = torch.tensor([5, 1, 8])
    is_real = mask_from_lengths(lengths, 8)
    x = torch.randn(3, 8, 3)
    alone = theirs(x[is_real])

    normalised = ours(x.masked_fill(~is_real.unsqueeze(-1), 1e4), is_real)

    torch.testing.assert_close(normalised[is_real], alone)
    torch.testing.assert_close(ours.state_dict(), theirs.state_dict())


def test_gradients_are_those_of_batch_norm():
    torch.manual_seed(0)
    ours, theirs = a_pair(3)
    is_real = mask_from_lengths(torch.tensor([5, 2]), 5)
    x, y = (
        torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(1)).requires_grad_() for _ in range(2)
    )
    slope = torch.randn(7, 3)

    (ours(x, is_real)[is_real] * slope).sum().backward()
    (theirs(y[is_real]) * slope).sum().backward()

    torch.testing.assert_close(x.grad, y.grad)
    torch.testing.assert_close(ours.weight.grad, theirs.weight.grad)


def test_one_frame_is_no_reason_for_nan():
    norm = MaskedBatchNorm1d(3)

    assert norm(torch.randn(1, 4, 3), mask_from_lengths(torch.tensor([1]), 4)).isfinite().all()
    assert norm.running_var.isfinite().all()

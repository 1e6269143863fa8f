"""The encoder of both rankers: positions are angles, padding is not heard."""

import pytest
import torch

from retimbre.nn.masks import mask_from_lengths
from retimbre.nn.rotary_encoder import (
    ROTATED,
    RMSNorm,
    RotaryAttention,
    RotaryEncoder,
    RotaryPositions,
    RotarySizes,
    rotate,
)

SIZES = RotarySizes(dim=12, n_layers=2, n_heads=2, attention_dim=96, feedforward_dim=20)


def encoder(**changes):
    torch.manual_seed(3)
    network = RotaryEncoder(RotarySizes(**({**vars(SIZES)} | changes))).eval()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return network


@torch.no_grad()
def test_padding_and_neighbours_never_change_what_is_encoded():
    network, x = encoder(), torch.randn(3, 11, 12)
    lengths = torch.tensor([11, 1, 6])

    together = network(x, mask_from_lengths(lengths, 11))

    for row, length in enumerate(lengths.tolist()):
        alone = network(x[row : row + 1, :length])
        torch.testing.assert_close(together[row, :length], alone[0], atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_without_lengths_everything_is_real():
    network, x = encoder(), torch.randn(2, 7, 12)

    torch.testing.assert_close(network(x), network(x, torch.ones(2, 7, dtype=torch.bool)))


def test_a_rotation_keeps_lengths_and_depends_on_the_distance_alone():
    angles = RotaryPositions()(torch.randn(1, 9, 4))
    q, k = torch.randn(1, 1, 1, 40), torch.randn(1, 1, 1, 40)
    turned_q, turned_k = (rotate(x.expand(1, 1, 9, 40), angles) for x in (q, k))

    torch.testing.assert_close(turned_q.norm(dim=-1), q.norm(dim=-1).expand(1, 1, 9))
    scores = (turned_q @ turned_k.transpose(-1, -2))[0, 0]
    for distance in (-5, -1, 0, 3):
        diagonal = scores.diagonal(distance)
        torch.testing.assert_close(diagonal, diagonal[:1].expand_as(diagonal), atol=1e-4, rtol=1e-4)
    assert (scores.diagonal(3)[0] - scores.diagonal(0)[0]).abs() > 1e-3


def test_channels_beyond_the_rotated_ones_stay():
    x = torch.randn(1, 1, 5, 40)

    turned = rotate(x, RotaryPositions()(torch.randn(1, 5, 4)))

    assert torch.equal(turned[..., ROTATED:], x[..., ROTATED:])
    assert not torch.isclose(turned[:, :, 1:, 0], x[:, :, 1:, 0]).any()


@torch.no_grad()
def test_values_are_rotated_too():
    attention = RotaryAttention(6, 64, 1, 0.0).eval()
    attention.to_q.weight.zero_()  # all positions are heard alike: what differs comes from the values
    x = torch.randn(1, 1, 6).expand(1, 4, 6)
    angles = RotaryPositions()(x)

    heard = attention(x, angles, None)

    values = rotate(attention.to_v(x).view(1, 4, 1, 64).transpose(1, 2), angles)[0, 0]
    torch.testing.assert_close(heard[0, 0], attention.to_out(values.mean(0)), atol=1e-5, rtol=1e-5)
    assert (heard[0, 0] - attention.to_out(attention.to_v(x)[0, 0])).abs().max() > 1e-3


def test_a_norm_divides_by_the_root_mean_square_and_bears_silence():
    norm, x = RMSNorm(7), torch.randn(2, 3, 7)
    torch.nn.init.normal_(norm.g)

    expected = x.double() / x.double().square().mean(-1, keepdim=True).sqrt() * norm.g.double()

    torch.testing.assert_close(norm(x).double(), expected, atol=1e-6, rtol=1e-5)
    assert norm(torch.zeros(1, 1, 7)).eq(0).all()


def test_dropout_is_there_in_training_alone():
    network, x = encoder(dropout=0.5), torch.randn(1, 5, 12)

    assert torch.equal(network(x), network(x))
    network.train()
    assert not torch.allclose(network(x), network(x))


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"n_heads": 5}, "no multiple of n_heads"),
        ({"n_heads": 4}, "32 channels that are rotated"),
        ({"n_layers": 0}, "n_layers must be at least 1"),
        ({"feedforward_dim": 0}, "feedforward_dim must be"),
    ],
)
def test_contradictions_are_refused(change, what):
    with pytest.raises(ValueError, match=what):
        RotarySizes(**(vars(SIZES) | change))

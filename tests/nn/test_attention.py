"""Causal attention with dropout: torch's numbers, and dropout that nothing depends on but the seed."""

import pytest
import torch
from torch.nn import functional

from retimbre.nn.attention import causal_attention

LENGTHS = [1, 2, 64, 65, 131, 265]


def by_head(n_places, *, kind=torch.float64, dim=5):
    torch.manual_seed(n_places)
    return [torch.randn(2, 3, n_places, dim, dtype=kind, requires_grad=True) for _ in range(3)]


def weights_after_dropout(queries, keys, dropout, seed):
    """What each place takes from the others: their values are the rows of an identity."""
    values = torch.eye(keys.shape[-2], dtype=keys.dtype).expand(*keys.shape[:-1], -1)
    torch.manual_seed(seed)
    wide = [functional.pad(part, (0, values.shape[-1] - part.shape[-1])) for part in (queries, keys)]
    wide[0] = wide[0] * (wide[0].shape[-1] / queries.shape[-1]) ** 0.5  # wider heads are scaled otherwise
    return causal_attention(*wide, values, dropout)


@pytest.mark.parametrize("n_places", LENGTHS)
def test_with_hardly_any_dropout_it_is_torchs_attention_and_so_are_its_gradients(n_places):
    heads = by_head(n_places)
    torch.manual_seed(3)
    ours = causal_attention(*heads, 2**-16)
    theirs = functional.scaled_dot_product_attention(*heads, is_causal=True)
    gradient = torch.randn_like(ours)
    pairs = zip(
        [ours, *torch.autograd.grad(ours, heads, gradient)],
        [theirs, *torch.autograd.grad(theirs, heads, gradient)],
        strict=True,
    )
    for one, other in pairs:  # of 65,536 weights one is dropped
        assert (one - other).norm() <= 0.05 * other.norm()
        assert (one - other).abs().median() <= 1e-4 * other.abs().mean()


@pytest.mark.parametrize("n_places", [1, 6, 65])
def test_gradients_are_those_of_finite_differences_with_dropout(n_places):
    def attend(*heads):
        torch.manual_seed(5)
        return causal_attention(*heads, 0.3)

    heads = [part[:1, :1, :, :2].detach().requires_grad_() for part in by_head(n_places)]
    assert torch.autograd.gradcheck(attend, heads)


@pytest.mark.parametrize("n_places", [7, 131])
def test_a_dropped_weight_is_zero_and_the_others_are_torchs_enlarged(n_places):
    queries, keys, _ = by_head(n_places)
    found = weights_after_dropout(queries, keys, 0.25, seed=1)
    scores = queries @ keys.transpose(-1, -2) / queries.shape[-1] ** 0.5
    ahead = torch.ones(n_places, n_places, dtype=torch.bool).triu(1)
    true = scores.masked_fill(ahead, -torch.inf).softmax(-1)

    is_seen = ~ahead.expand_as(found)
    assert found[~is_seen].eq(0).all()
    is_dropped = is_seen & found.eq(0)
    assert is_dropped.sum() / is_seen.sum() == pytest.approx(0.25, abs=0.1 if n_places < 10 else 0.01)
    torch.testing.assert_close(found[is_seen & ~is_dropped], true[is_seen & ~is_dropped] / 0.75)


def test_other_seeds_drop_other_weights_and_the_same_seed_the_same():
    queries, keys, _ = by_head(65)
    first, again, other = (weights_after_dropout(queries, keys, 0.5, seed).eq(0) for seed in (1, 1, 2))

    assert first.equal(again)
    assert not first.equal(other)


def test_no_place_sees_what_comes_after_it():
    heads = by_head(265)
    torch.manual_seed(0)
    before = causal_attention(*heads, 0.1)
    changed = [part.detach().clone() for part in heads]
    for part in changed:
        part[:, :, 200:] += 1
    torch.manual_seed(0)
    after = causal_attention(*changed, 0.1)

    assert before[:, :, :200].equal(after[:, :, :200])
    assert not before[:, :, 200:].isclose(after[:, :, 200:]).any()


def test_the_largest_thing_kept_for_gradients_is_what_was_dropped():
    heads = by_head(265, kind=torch.bfloat16, dim=4)
    numbers = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: numbers.append(t.numel()) or t, lambda t: t):
        causal_attention(*heads, 0.1)

    assert sum(numbers) < 0.7 * heads[0].shape[:2].numel() * 265**2 + 3 * heads[0].numel()

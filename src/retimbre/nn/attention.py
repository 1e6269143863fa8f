"""Causal attention with dropout on a CPU, where torch's fused kernel knows no dropout.

The weights of the attention are the largest thing that a layer would keep for its gradients. They are
computed again instead: one small product and a softmax. The queries are taken in some pieces, so that little
is computed for keys that come after them.

Axes used in this file:
    heads     of all sequences
    places    of a sequence; `seen` those up to the end of a piece, `piece` the queries of one
    head_dim  channels of one head
"""

from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from retimbre.nn.dropout import kept

LEAST_PIECE, MOST_PIECES = 64, 4
ByHead = Float[Tensor, "*lead places head_dim"]
Rows = Float[Tensor, "heads places head_dim"]
Piece = tuple[slice, slice]


def causal_attention(queries: ByHead, keys: ByHead, values: ByHead, dropout: float) -> ByHead:
    """Each place sees itself and those before it; a share of what it sees is dropped, anew at each call."""
    if queries.device.type != "cpu" or not dropout:
        return functional.scaled_dot_product_attention(
            queries, keys, values, is_causal=True, dropout_p=dropout
        )
    heads = (part.flatten(0, -3) for part in (queries, keys, values))
    found: Tensor = _Attention.apply(*heads, dropout)  # type: ignore[no-untyped-call]
    return found.view(queries.shape)


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, queries: Rows, keys: Rows, values: Rows, dropout: float) -> Rows:  # noqa: ANN401
        found, masks = torch.empty_like(queries), []
        for piece, seen in _pieces(queries.shape[1]):
            weights = _weights(queries, keys, piece, seen)
            masks.append(kept(weights.shape, dropout, weights.dtype))
            found[:, piece] = torch.bmm(weights.mul_(masks[-1]), values[:, seen])
        ctx.save_for_backward(queries, keys, values, *masks)
        return found

    @staticmethod
    def backward(ctx: Any, gradient: Rows) -> tuple[Rows, Rows, Rows, None]:  # noqa: ANN401
        queries, keys, values, *masks = ctx.saved_tensors
        of_queries = torch.empty_like(queries)
        of_keys, of_values = torch.zeros_like(keys), torch.zeros_like(values)
        for (piece, seen), mask in zip(_pieces(queries.shape[1]), masks, strict=True):
            weights = _weights(queries, keys, piece, seen)
            of_weights = torch.bmm(gradient[:, piece], values[:, seen].transpose(1, 2)).mul_(mask)
            of_values[:, seen] += torch.bmm((weights * mask).transpose(1, 2), gradient[:, piece])
            of_scores = torch._softmax_backward_data(of_weights, weights, -1, weights.dtype)
            of_scores.mul_(_scale(queries))
            of_queries[:, piece] = torch.bmm(of_scores, keys[:, seen])
            of_keys[:, seen] += torch.bmm(of_scores.transpose(1, 2), queries[:, piece])
        return of_queries, of_keys, of_values, None


def _pieces(n_places: int) -> Iterator[Piece]:
    n_pieces = min(MOST_PIECES, -(-n_places // LEAST_PIECE))
    size = -(-n_places // n_pieces)
    for first in range(0, n_places, size):
        end = min(first + size, n_places)
        yield slice(first, end), slice(0, end)


def _weights(queries: Rows, keys: Rows, piece: slice, seen: slice) -> Float[Tensor, "heads piece seen"]:
    """What each place of a piece takes from every place that it sees."""
    ahead = torch.full((piece.stop - piece.start, seen.stop), -torch.inf, dtype=queries.dtype)
    ahead = ahead.triu_(piece.start + 1)
    scores = torch.baddbmm(ahead, queries[:, piece], keys[:, seen].transpose(1, 2), alpha=_scale(queries))
    return scores.softmax(-1)


def _scale(queries: Rows) -> float:
    return float(queries.shape[-1] ** -0.5)

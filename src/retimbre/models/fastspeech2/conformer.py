"""Conformer (https://arxiv.org/abs/2005.08100) with batch norm, attention before convolution.

Padding never reaches a real frame: attention does not look at it, convolutions read zeros in its place, and
batch norm does not count it.

Axes used in this file:
    batch  utterances
    times  symbols in the encoder, frames in the decoder, padded
    dim    channels
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from retimbre.models.fastspeech2.config import ConformerSizes
from retimbre.nn.conv import ConvOverTime
from retimbre.nn.dropout import Dropout, drop
from retimbre.nn.norms import MaskedBatchNorm1d


class FeedForward(nn.Module):
    """Two linear layers with SiLU between them."""

    def __init__(self, sizes: ConformerSizes) -> None:
        super().__init__()
        self.sequential = nn.Sequential(
            nn.LayerNorm(sizes.dim),
            nn.Linear(sizes.dim, sizes.feedforward_dim),
            nn.SiLU(),
            Dropout(sizes.dropout),
            nn.Linear(sizes.feedforward_dim, sizes.dim),
            Dropout(sizes.dropout),
        )

    def forward(self, x: Float[Tensor, "batch times dim"]) -> Float[Tensor, "batch times dim"]:
        return self.sequential(x)


class SelfAttention(nn.Module):
    """Multi-head attention among the real times; tensors named as in `nn.MultiheadAttention`."""

    def __init__(self, sizes: ConformerSizes) -> None:
        super().__init__()
        self.n_heads = sizes.n_heads
        self.dropout = sizes.dropout
        self.in_proj_weight = nn.Parameter(torch.empty(3 * sizes.dim, sizes.dim))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * sizes.dim))
        self.out_proj = nn.Linear(sizes.dim, sizes.dim)
        nn.init.xavier_uniform_(self.in_proj_weight)
        nn.init.zeros_(self.out_proj.bias)

    def forward(
        self, x: Float[Tensor, "batch times dim"], is_real: Bool[Tensor, "batch times"]
    ) -> Float[Tensor, "batch times dim"]:
        joined = functional.linear(x, self.in_proj_weight, self.in_proj_bias)
        by_head = joined.view(*joined.shape[:2], 3, self.n_heads, -1)
        query, key, value = by_head.permute(2, 0, 3, 1, 4)
        dropout = self.dropout if self.training else 0.0
        return self.out_proj(_attend(query, key, value, is_real, dropout).transpose(1, 2).flatten(2))


def _attend(
    query: Float[Tensor, "batch heads times head_dim"],
    key: Float[Tensor, "batch heads times head_dim"],
    value: Float[Tensor, "batch heads times head_dim"],
    is_real: Bool[Tensor, "batch times"],
    dropout: float,
) -> Float[Tensor, "batch heads times head_dim"]:
    if not dropout or query.device.type != "cpu":
        mask = is_real[:, None, None, :]
        return functional.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout)
    # Torch has no fast kernel with dropout on a CPU, and draws its random numbers slowly.
    score = query @ key.transpose(2, 3) * query.shape[-1] ** -0.5
    share = score.float().masked_fill(~is_real[:, None, None, :], -torch.inf).softmax(-1)
    return drop(share.to(value.dtype), dropout) @ value


class ConvModule(nn.Module):
    """Gated pointwise, depthwise and pointwise convolution."""

    def __init__(self, sizes: ConformerSizes) -> None:
        super().__init__()
        dim = sizes.dim
        self.layer_norm = nn.LayerNorm(dim)
        self.sequential = nn.Sequential(
            ConvOverTime(dim, 2 * dim),
            nn.GLU(dim=-1),
            ConvOverTime(dim, dim, sizes.kernel, groups=dim),
            MaskedBatchNorm1d(dim),
            nn.SiLU(),
            ConvOverTime(dim, dim),
            Dropout(sizes.dropout),
        )

    def forward(
        self, x: Float[Tensor, "batch times dim"], is_real: Bool[Tensor, "batch times"]
    ) -> Float[Tensor, "batch times dim"]:
        widen, gate, convolve, norm, activate, mix, dropout = self.sequential
        x = gate(widen(self.layer_norm(x)))
        x = convolve(x * is_real.unsqueeze(-1))
        return dropout(mix(activate(norm(x, is_real))))


class ConformerLayer(nn.Module):
    """Half a feed-forward, attention, convolution, half a feed-forward: each added to what it read."""

    def __init__(self, sizes: ConformerSizes) -> None:
        super().__init__()
        self.ffn1 = FeedForward(sizes)
        self.self_attn_layer_norm = nn.LayerNorm(sizes.dim)
        self.self_attn = SelfAttention(sizes)
        self.self_attn_dropout = Dropout(sizes.dropout)
        self.conv_module = ConvModule(sizes)
        self.ffn2 = FeedForward(sizes)
        self.final_layer_norm = nn.LayerNorm(sizes.dim)

    def forward(
        self, x: Float[Tensor, "batch times dim"], is_real: Bool[Tensor, "batch times"]
    ) -> Float[Tensor, "batch times dim"]:
        x = torch.add(x, self.ffn1(x), alpha=0.5)
        x = x + self.self_attn_dropout(self.self_attn(self.self_attn_layer_norm(x), is_real))
        x = x + self.conv_module(x, is_real)
        x = torch.add(x, self.ffn2(x), alpha=0.5)
        return self.final_layer_norm(x)


class Conformer(nn.Module):
    """A stack of conformer layers: the encoder of symbols, the decoder of frames."""

    def __init__(self, sizes: ConformerSizes) -> None:
        super().__init__()
        self.conformer_layers = nn.ModuleList(ConformerLayer(sizes) for _ in range(sizes.n_layers))

    def forward(
        self, x: Float[Tensor, "batch times dim"], is_real: Bool[Tensor, "batch times"]
    ) -> Float[Tensor, "batch times dim"]:
        for layer in self.conformer_layers:
            x = layer(x, is_real)
        return x

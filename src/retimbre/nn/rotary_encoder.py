"""Transformer encoder with rotary positions, RMS norms and gated feed-forward layers.

Both rankers of TorToiSe have it (a form of the x-transformers package); the names of tensors are theirs.

Axes used in this file:
    batch  utterances
    times  symbols, codes or frames, padded
    dim    channels
    heads  of the attention
    inner  channels of one head
    wide   channels inside a feed-forward layer
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

ROTATED = 32  # channels of each head that carry the position; the rest stay as they are
LONGEST_WAVE = 10_000.0

Hidden = Float[Tensor, "batch times dim"]
PerHead = Float[Tensor, "batch heads times inner"]
Angles = Float[Tensor, "times rotated"]
IsReal = Bool[Tensor, "batch times"] | None


@dataclass(frozen=True, kw_only=True)
class RotarySizes:
    """Every size of an encoder.

    Args:
        dim: Channels between the layers.
        n_layers: Pairs of attention and feed-forward.
        n_heads: Of the attention.
        attention_dim: Channels of all heads together; need not be `dim`.
        feedforward_dim: Channels inside a feed-forward layer.
        dropout: In training: of the attention's weights and inside the feed-forward layers.
        is_wrapped: Do the names of layers have a level `wrap`?
    """

    dim: int
    n_layers: int
    n_heads: int
    attention_dim: int
    feedforward_dim: int
    dropout: float = 0.0
    is_wrapped: bool = False

    def __post_init__(self) -> None:
        for name in ("dim", "n_layers", "n_heads", "attention_dim", "feedforward_dim"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.attention_dim % self.n_heads:
            raise ValueError(
                f"attention_dim ({self.attention_dim}) is no multiple of n_heads ({self.n_heads})"
            )
        if self.attention_dim // self.n_heads < ROTATED:
            raise ValueError(
                f"a head must have the {ROTATED} channels that are rotated, "
                f"not {self.attention_dim} / {self.n_heads}"
            )


class RMSNorm(nn.Module):
    """Each position divided by the root mean square of its channels, then scaled."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.g = nn.Parameter(torch.ones(dim))

    def forward(self, x: Hidden) -> Hidden:
        root_mean_square = x.norm(dim=-1, keepdim=True) * x.shape[-1] ** -0.5
        return x / root_mean_square.clamp(min=1e-8) * self.g


class RotaryPositions(nn.Module):
    """Each position as angles, one for each pair of rotated channels."""

    def __init__(self) -> None:
        super().__init__()
        # A list of numbers: arithmetic on the meta device costs a second of imports.
        speeds = [LONGEST_WAVE ** (-channel / ROTATED) for channel in range(0, ROTATED, 2)]
        self.inv_freq = nn.Buffer(torch.tensor(speeds))

    def forward(self, x: Hidden) -> Angles:
        positions = torch.arange(x.shape[1], device=x.device).type_as(self.inv_freq)
        angles = torch.outer(positions, self.inv_freq)
        return torch.cat([angles, angles], dim=-1)


def rotate(x: PerHead, angles: Angles) -> PerHead:
    """Turn the first channels of every head by the angles of their position."""
    n_turning = angles.shape[-1]
    first, second = x[..., : n_turning // 2], x[..., n_turning // 2 : n_turning]
    cosine, sine = (waves[..., : n_turning // 2] for waves in (angles.cos(), angles.sin()))
    turned = (
        torch.addcmul(first * cosine, second, sine, value=-1),
        torch.addcmul(second * cosine, first, sine),
    )
    return torch.cat([*turned, x[..., n_turning:]], dim=-1).to(x.dtype)


class RotaryAttention(nn.Module):
    """Self-attention of `n_heads` heads that are `inner_dim` channels wide in all."""

    def __init__(self, dim: int, inner_dim: int, n_heads: int, dropout: float) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.dropout = dropout
        self.to_q = nn.Linear(dim, inner_dim, bias=False)
        self.to_k = nn.Linear(dim, inner_dim, bias=False)
        self.to_v = nn.Linear(dim, inner_dim, bias=False)
        self.to_out = nn.Linear(inner_dim, dim)

    def forward(self, x: Hidden, angles: Angles, is_real: IsReal) -> Hidden:
        # Checkpoint quirk: the values are rotated too, not only queries and keys.
        # Kept for the released weights; pinned by test_values_are_rotated_too.
        q, k, v = (rotate(self._heads(to(x)), angles) for to in (self.to_q, self.to_k, self.to_v))
        may_see = None if is_real is None else is_real[:, None, None, :]
        dropout = self.dropout if self.training else 0.0
        heard = functional.scaled_dot_product_attention(q, k, v, attn_mask=may_see, dropout_p=dropout)
        return self.to_out(heard.transpose(1, 2).flatten(2))

    def _heads(self, x: Hidden) -> PerHead:
        batch, times, _ = x.shape
        return x.view(batch, times, self.n_heads, -1).transpose(1, 2)


class GatedGELU(nn.Module):
    """Two projections, one of which says how much of the other passes."""

    def __init__(self, dim: int, inner_dim: int) -> None:
        super().__init__()
        self.proj = nn.Linear(dim, 2 * inner_dim)

    def forward(self, x: Hidden) -> Float[Tensor, "batch times wide"]:
        x, gate = self.proj(x).chunk(2, dim=-1)
        return x * functional.gelu(gate)


class GatedFeedForward(nn.Module):
    """What every position does by itself."""

    def __init__(self, dim: int, inner_dim: int, dropout: float) -> None:
        super().__init__()
        # An idle second place, so that the last layer is number 3 as in the released files.
        self.net = nn.Sequential(
            GatedGELU(dim, inner_dim), nn.Identity(), nn.Dropout(dropout), nn.Linear(inner_dim, dim)
        )

    def forward(self, x: Hidden) -> Hidden:
        return self.net(x)


class Wrapped(nn.Module):
    """A level in the names of tensors: what is left of a wrapper that saved memory in training."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.wrap = block

    def forward(self, *inputs: Hidden | Angles | IsReal) -> Hidden:
        return self.wrap(*inputs)


class RotaryLayers(nn.Module):
    """Attention and feed-forward in turns, each behind a norm and with a way around it."""

    def __init__(self, sizes: RotarySizes) -> None:
        super().__init__()
        self.layers = nn.ModuleList()
        for number in range(2 * sizes.n_layers):
            block = _block(sizes, is_attention=number % 2 == 0)
            norms = nn.ModuleList([RMSNorm(sizes.dim)])  # a list, as the original may have three
            self.layers.append(nn.ModuleList([norms, Wrapped(block) if sizes.is_wrapped else block]))
        self.rotary_pos_emb = RotaryPositions()

    def forward(self, x: Hidden, is_real: IsReal = None) -> Hidden:
        angles = self.rotary_pos_emb(x)
        for number, layer in enumerate(self.layers):
            norms, block = layer.children()
            normed = next(norms.children())(x)
            x = x + (block(normed) if number % 2 else block(normed, angles, is_real))
        return x


def _block(sizes: RotarySizes, *, is_attention: bool) -> nn.Module:
    if is_attention:
        return RotaryAttention(sizes.dim, sizes.attention_dim, sizes.n_heads, sizes.dropout)
    return GatedFeedForward(sizes.dim, sizes.feedforward_dim, sizes.dropout)


class RotaryEncoder(nn.Module):
    """The layers, then a layer norm. Padding is not heard."""

    def __init__(self, sizes: RotarySizes) -> None:
        super().__init__()
        self.attn_layers = RotaryLayers(sizes)
        self.norm = nn.LayerNorm(sizes.dim)

    def forward(self, x: Hidden, is_real: IsReal = None) -> Hidden:
        return self.norm(self.attn_layers(x, is_real))

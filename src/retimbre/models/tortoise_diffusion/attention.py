"""Self-attention over time that knows how far apart two frames are, as in TorToiSe.

Axes used in this file:
    batch   utterances
    dim     channels
    times   frames or codes
    heads   of the attention
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from retimbre.models.tortoise_diffusion.config import norm_groups

Hidden = Float[Tensor, "batch dim times"]

N_BUCKETS = 32  # half for frames before, half for frames after
N_EXACT = 8  # so near, every distance has a bucket of its own
FARTHEST = 64  # from here on all distances share one


class GroupNorm(nn.GroupNorm):
    """Group norm computed at least in float32, with as many groups as TorToiSe has for this width."""

    def __init__(self, dim: int) -> None:
        super().__init__(norm_groups(dim), dim)

    def forward(self, x: Hidden) -> Hidden:
        wide = torch.promote_types(x.dtype, torch.float32)
        weight, bias = self.weight.to(wide), self.bias.to(wide)
        # Not functional.group_norm: it refuses a single frame of a single utterance.
        return torch.group_norm(x.to(wide), self.num_groups, weight, bias, self.eps).to(x.dtype)


def random_values(*shape: int) -> Float[Tensor, "..."]:
    """Of a normal distribution, to begin with."""
    values = torch.empty(*shape)
    # On the meta device there is nothing to fill, and torch would load its compiler to do so: over a second.
    return values if values.is_meta else nn.init.normal_(values)


def table(n_rows: int, dim: int) -> nn.Embedding:
    """An embedding that is quick to outline on the meta device."""
    return nn.Embedding(n_rows, dim, _weight=random_values(n_rows, dim))


def buckets(distances: Int[Tensor, "*axes"]) -> Int[Tensor, "*axes"]:
    """Which row of the table a distance (key minus query, in frames) has: fine when near, coarse when far."""
    near, half = distances.abs(), N_BUCKETS // 2
    share = (near.clamp(min=N_EXACT) / N_EXACT).log() / math.log(FARTHEST / N_EXACT)
    far = (N_EXACT + (share * (half - N_EXACT)).long()).clamp(max=half - 1)
    return torch.where(near < N_EXACT, near, far) + half * (distances > 0)


class RelativePositions(nn.Module):
    """What a head's attention gains by the distance of two frames."""

    def __init__(self, n_heads: int) -> None:
        super().__init__()
        self.relative_attention_bias = table(N_BUCKETS, n_heads)

    def forward(self, n_times: int) -> Float[Tensor, "heads times times"]:
        """For every query (first) and key (second)."""
        gains = self.relative_attention_bias.weight
        distances = torch.arange(1 - n_times, n_times, device=gains.device)
        by_distance = gains[buckets(distances)].T
        # Row i holds the distances -i to n - 1 - i: windows of one and the same sequence, the last one first.
        return by_distance.unfold(1, n_times, 1).flip(1)


class AttentionBlock(nn.Module):
    """Group norm and self-attention, with a way around them."""

    def __init__(self, dim: int, n_heads: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.norm = GroupNorm(dim)
        self.qkv = nn.Conv1d(dim, 3 * dim, 1)
        self.proj_out = nn.Conv1d(dim, dim, 1)
        self.relative_pos_embeddings = RelativePositions(n_heads)

    def forward(self, x: Hidden) -> Hidden:
        batch, dim, n_times = x.shape
        head_dim = dim // self.n_heads
        # The channels of one head lie together: its queries, then its keys, then its values.
        of_heads = self.qkv(self.norm(x)).view(batch, self.n_heads, 3, head_dim, n_times)
        query, key, value = of_heads.transpose(-1, -2).unbind(2)
        # Checkpoint quirk: the gain by distance is multiplied by the root of the head's width.
        # Kept for the sake of released weights; pinned by test_distance_counts_by_the_root_of_a_head.
        bias = self.relative_pos_embeddings(n_times).to(query.dtype) * math.sqrt(head_dim)
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=bias.unsqueeze(0))
        return x + self.proj_out(mixed.transpose(-1, -2).reshape(batch, dim, n_times))

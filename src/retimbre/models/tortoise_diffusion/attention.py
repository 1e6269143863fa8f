"""Self-attention over time that knows how far apart two frames are, as in TorToiSe.

Axes used in this file:
    batch      utterances
    times      frames or codes
    dim        channels
    heads      of the attention
    distances  of two places: between the last and the first, ..., between the first and the last
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from retimbre.models.tortoise_diffusion.config import norm_groups
from retimbre.nn.conv import ConvOverTime

Hidden = Float[Tensor, "batch times dim"]

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
        # As an image with channels last, which torch normalises in place of copying it into another order.
        image = x.to(wide).transpose(1, 2).unsqueeze(2)
        # Not functional.group_norm: it refuses a single frame of a single utterance.
        normed = torch.group_norm(image, self.num_groups, weight, bias, self.eps)
        return normed.squeeze(2).transpose(1, 2).to(x.dtype)


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

    def forward(self, n_times: int) -> Float[Tensor, "heads distances"]:
        """For every distance from the first to the last of `n_times` and back: the largest comes first."""
        gains = self.relative_attention_bias.weight
        return gains[buckets(torch.arange(n_times - 1, -n_times, -1, device=gains.device))].T


class AttentionBlock(nn.Module):
    """Group norm and self-attention, with a way around them."""

    def __init__(self, dim: int, n_heads: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.norm = GroupNorm(dim)
        self.qkv = ConvOverTime(dim, 3 * dim)
        self.proj_out = ConvOverTime(dim, dim)
        self.relative_pos_embeddings = RelativePositions(n_heads)

    def forward(self, x: Hidden) -> Hidden:
        batch, n_times, dim = x.shape
        head_dim = dim // self.n_heads
        # The channels of one head lie together: its queries, then its keys, then its values.
        of_heads = self.qkv(self.norm(x)).view(batch, n_times, self.n_heads, 3, head_dim)
        query, key, value = of_heads.permute(3, 0, 2, 1, 4)
        # Checkpoint quirk: the gain by distance is multiplied by the root of the head's width.
        # Kept for the sake of released weights; pinned by test_distance_counts_by_the_root_of_a_head.
        gains = self.relative_pos_embeddings(n_times) * math.sqrt(head_dim)
        # Of keys in reverse order, the gains for each query are a window into one and the same row, one place
        # further than that of the query before: nothing of the size of queries times keys is stored.
        windows = gains.unfold(1, n_times, 1)
        if not windows.is_cpu:  # elsewhere kernels want one type, and rows that begin at round addresses
            windows = windows.to(query.dtype).contiguous()
        mixed = functional.scaled_dot_product_attention(
            query, key.flip(2), value.flip(2), attn_mask=windows.unsqueeze(0)
        )
        return x + self.proj_out(mixed.transpose(1, 2).reshape(batch, n_times, dim))

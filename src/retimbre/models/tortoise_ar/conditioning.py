"""A recording's spectrogram -> one vector of its voice.

Axes used in this file:
    batch   recordings
    mels    bands of the spectrogram
    frames  of the spectrogram
    given   the frames that are read afterwards: all, or the first
    dim     channels
"""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from retimbre.models.tortoise_ar.config import N_MELS, Residual, UnifiedVoiceConfig

Hidden = Float[Tensor, "batch dim frames"]


class WideGroupNorm(nn.GroupNorm):
    """A group norm in float32, whatever it reads."""

    def forward(self, x: Hidden) -> Hidden:
        weight, bias = self.weight.float(), self.bias.float()
        return functional.group_norm(x.float(), self.num_groups, weight, bias, self.eps).to(x.dtype)


class AttentionBlock(nn.Module):
    """Every frame sees every other; the order of the frames does not matter."""

    def __init__(self, dim: int, n_heads: int, *, n_groups: int, residual: Residual) -> None:
        super().__init__()
        self.n_heads, self.residual = n_heads, residual
        self.norm = WideGroupNorm(n_groups, dim)
        self.qkv = nn.Conv1d(dim, 3 * dim, 1)
        self.proj_out = nn.Conv1d(dim, dim, 1)
        nn.init.zeros_(self.proj_out.weight)
        if self.proj_out.bias is not None:
            nn.init.zeros_(self.proj_out.bias)

    def forward(
        self, x: Hidden, *, residual: Residual | None = None, is_last: bool = False
    ) -> Float[Tensor, "batch dim given"]:
        """What each frame has gathered.

        Args:
            residual: What is added; None: what the sizes of the network say.
            is_last: Gather for the first frame alone, since nobody will read the others.
        """
        normed = self.norm(x)
        # The channels of a head are neighbours: its queries, then its keys, then its values.
        # Contiguous: torch's fused attention reads no other, and its other way keeps every pair of frames.
        by_head = self.qkv(normed).unflatten(1, (self.n_heads, -1)).transpose(2, 3).contiguous()
        queries, keys, values = by_head.chunk(3, dim=-1)
        if is_last:
            queries, x, normed = queries[:, :, :1], x[:, :, :1], normed[:, :, :1]
        seen = functional.scaled_dot_product_attention(queries, keys, values)
        h = self.proj_out(seen.transpose(2, 3).flatten(1, 2))
        # Checkpoint quirk: DL-Art-School adds the normalised input since June 2022, TorToiSe the input.
        # Kept as a size, since no tensor tells; pinned by the tests against both programs.
        return (x if (residual or self.residual) == "x + h" else normed) + h


class ConditioningEncoder(nn.Module):
    """Reads a whole recording and gives what its first frame has gathered."""

    def __init__(self, config: UnifiedVoiceConfig) -> None:
        super().__init__()
        self.init = nn.Conv1d(N_MELS, config.dim, 1)
        self.attn = nn.Sequential(
            *(
                AttentionBlock(
                    config.dim,
                    config.n_heads,
                    n_groups=config.n_norm_groups,
                    residual=config.residual,
                )
                for _ in range(config.n_conditioning_layers)
            )
        )

    def forward(
        self, mel: Float[Tensor, "batch mels frames"], *, residual: Residual | None = None
    ) -> Float[Tensor, "batch dim"]:
        """The voice of each recording.

        Args:
            residual: What each block adds; None: what the sizes of the network say.
        """
        x, last = self.init(mel), len(self.attn) - 1
        for number, block in enumerate(self.attn):
            x = block(x, residual=residual, is_last=number == last)
        return x[:, :, 0]

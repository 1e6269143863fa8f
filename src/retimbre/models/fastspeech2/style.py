"""Global style tokens (https://arxiv.org/abs/1803.09017): how an utterance is said, as one vector.

Convolutions and a recurrent layer sum a recording up; with that, attention mixes a few learned tokens.

Axes used in this file:
    batch     utterances
    frames    frames of the longest utterance, padded; every convolution halves them
    mels      bands of a spec
    bands     what the convolutions leave of them
    channels  of the convolutions
    summary   numbers that sum a recording up
    tokens    style tokens
    token     channels of one of them
    dim       channels of the encoder
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from retimbre.models.fastspeech2.config import StyleSizes
from retimbre.nn.masks import mask_from_lengths
from retimbre.nn.norms import MaskedBatchNorm1d

KERNEL, STRIDE = 3, 2  # n frames or bands become (n + 1) // 2


class BandNorm(MaskedBatchNorm1d):
    """Batch norm of images of frames and bands, whose statistics are those of real frames only."""

    def forward(  # type: ignore[override]
        self, x: Float[Tensor, "batch channels frames bands"], is_frame: Bool[Tensor, "batch frames"]
    ) -> Float[Tensor, "batch channels frames bands"]:
        _, _, n_frames, n_bands = x.shape
        cells = x.permute(0, 2, 3, 1).flatten(1, 2)
        normed = super().forward(cells, is_frame.repeat_interleave(n_bands, dim=1))
        return normed.view(len(x), n_frames, n_bands, -1).permute(0, 3, 1, 2)


class ReferenceEncoder(nn.Module):
    """A recording of any length -> one vector; padding never changes it."""

    def __init__(self, n_mels: int, sizes: StyleSizes) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        n_bands = n_mels
        for dim_in, dim_out in zip((1, *sizes.channels[:-1]), sizes.channels, strict=True):
            conv = nn.Conv2d(dim_in, dim_out, KERNEL, STRIDE, padding=KERNEL // 2, bias=False)
            layers += [conv, BandNorm(dim_out), nn.ReLU()]
            n_bands = (n_bands + 1) // STRIDE
        self.convs = nn.Sequential(*layers)
        self.gru = nn.GRU(n_bands * sizes.channels[-1], sizes.summary_dim, batch_first=True)

    def forward(
        self, spec: Float[Tensor, "batch frames mels"], n_frames: Int[Tensor, "batch"]
    ) -> Float[Tensor, "batch summary"]:
        x, is_frame = spec.unsqueeze(1), mask_from_lengths(n_frames, spec.shape[1])
        layers = iter(self.convs)
        for conv, norm, relu in zip(layers, layers, layers, strict=True):
            x = conv(x * is_frame[:, None, :, None])  # beyond its end an utterance continues with zeros
            n_frames = (n_frames + 1) // STRIDE
            is_frame = mask_from_lengths(n_frames, x.shape[2])
            x = relu(norm(x, is_frame))
        after_each_frame, _ = self.gru(x.transpose(1, 2).flatten(2))
        return after_each_frame[torch.arange(len(x), device=x.device), n_frames.long() - 1]


class TokenAttention(nn.Module):
    """Several heads ask with one vector which tokens fit; tensors named as in EveryVoice."""

    def __init__(self, *, dim: int, query_dim: int, n_heads: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.linear_q = nn.Linear(query_dim, dim)
        self.linear_k = nn.Linear(dim // n_heads, dim)
        self.linear_v = nn.Linear(dim // n_heads, dim)
        self.linear_out = nn.Linear(dim, dim)

    def forward(
        self, query: Float[Tensor, "batch summary"], tokens: Float[Tensor, "tokens token"]
    ) -> Float[Tensor, "batch dim"]:
        by_head = (self.n_heads, -1)
        asked = self.linear_q(query).unflatten(-1, by_head)
        key = self.linear_k(tokens).unflatten(-1, by_head)
        value = self.linear_v(tokens).unflatten(-1, by_head)
        share = (torch.einsum("bhd,thd->bht", asked, key) * asked.shape[-1] ** -0.5).softmax(-1)
        return self.linear_out(torch.einsum("bht,thd->bhd", share, value).flatten(1))


class StyleTokens(nn.Module):
    """The learned tokens and the attention to them."""

    def __init__(self, dim: int, sizes: StyleSizes) -> None:
        super().__init__()
        self.gst_embs = nn.Parameter(torch.randn(sizes.n_tokens, dim // sizes.n_heads))
        self.mha = TokenAttention(dim=dim, query_dim=sizes.summary_dim, n_heads=sizes.n_heads)

    def forward(
        self, summary: Float[Tensor, "batch summary"], n_tokens: int | None = None
    ) -> Float[Tensor, "batch dim"]:
        """The mixture of all tokens, or of the first `n_tokens`."""
        return self.mha(summary, self.gst_embs[:n_tokens].tanh())


class StyleEncoder(nn.Module):
    """The style of recordings, or a style where there is none."""

    def __init__(self, *, dim: int, n_mels: int, sizes: StyleSizes) -> None:
        super().__init__()
        self.summary_dim = sizes.summary_dim
        self.ref_enc = ReferenceEncoder(n_mels, sizes)
        self.stl = StyleTokens(dim, sizes)

    def forward(
        self, spec: Float[Tensor, "batch frames mels"], n_frames: Int[Tensor, "batch"]
    ) -> Float[Tensor, "batch dim"]:
        """How these recordings are said."""
        with torch.autocast(spec.device.type, enabled=False):  # the recurrent layer adds up many frames
            return self.stl(self.ref_enc(spec.float(), n_frames))

    def without_reference(self, n_utterances: int) -> Float[Tensor, "batch dim"]:
        """The style in which EveryVoice speaks when no recording shows one."""
        # Checkpoint quirk: that is the first token alone, which training never gives; pinned by
        # test_without_a_reference_the_first_token_alone_is_the_style.
        query = self.stl.gst_embs.new_zeros(n_utterances, self.summary_dim)
        return self.stl(query, n_tokens=1)

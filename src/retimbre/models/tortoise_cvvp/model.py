"""CVVP, contrastive voice-voice pretraining: how well do codes fit a recording of the speaker?

TorToiSe ranked with it until version 2.4 (https://arxiv.org/abs/2305.07243). Tensors have its names.

Axes used in this file:
    batch   pairs of a recording and codes
    mels    bands of the recording's spectrogram
    frames  of it
    codes   of a sequence
    times   codes, or quarters of the frames
    dim     channels
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from retimbre.models.tortoise_cvvp.config import N_MELS, CvvpConfig
from retimbre.nn.rotary_encoder import RotaryEncoder, RotarySizes

Latent = Float[Tensor, "batch dim"]
Hidden = Float[Tensor, "batch dim times"]  # channels first, unlike in the encoder


class TimeAttention(nn.Module):
    """Self-attention that does not know where a position is, behind a group norm, with a way around both."""

    def __init__(self, dim: int, *, n_heads: int, n_groups: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.norm = nn.GroupNorm(n_groups, dim)
        self.qkv = nn.Conv1d(dim, 3 * dim, 1)
        self.proj_out = nn.Conv1d(dim, dim, 1)

    def forward(self, x: Hidden) -> Hidden:
        # Query, key and value of a head lie side by side: the heads are split first.
        of_heads = self.qkv(self.norm(x)).unflatten(1, (self.n_heads, 3, -1)).transpose(-1, -2)
        heard = functional.scaled_dot_product_attention(*of_heads.unbind(2))
        return x + self.proj_out(heard.transpose(-1, -2).flatten(1, 2))


class Encoder(nn.Module):
    """A rotary encoder, and what makes one vector of all its positions."""

    def __init__(self, sizes: RotarySizes, n_groups: int) -> None:
        super().__init__()
        self.transformer = RotaryEncoder(sizes)
        self.pre_combiner = nn.Sequential(
            nn.Conv1d(sizes.dim, sizes.dim, 1),
            TimeAttention(sizes.dim, n_heads=sizes.n_heads, n_groups=n_groups),
            nn.Conv1d(sizes.dim, sizes.dim, 1),
        )

    def forward(self, x: Hidden) -> Latent:
        encoded = self.transformer(x.transpose(1, 2)).transpose(1, 2)
        return self.pre_combiner(encoded).mean(-1)


class Codes(nn.Module):
    """The table of codes, channels first."""

    def __init__(self, n_codes: int, dim: int) -> None:
        super().__init__()
        self.emb = nn.Embedding(n_codes, dim)

    def forward(self, codes: Int[Tensor, "batch codes"]) -> Float[Tensor, "batch dim codes"]:
        return self.emb(codes).transpose(1, 2)


class CVVP(nn.Module):
    """One encoder for a recording and one for codes; both end in the same space."""

    def __init__(self, config: CvvpConfig) -> None:
        super().__init__()
        self.config = config
        dim = config.dim
        self.temperature = nn.Parameter(torch.ones(()))
        self.cond_emb = nn.Sequential(
            nn.Conv1d(N_MELS, dim // 2, 5, stride=2, padding=2),
            nn.Conv1d(dim // 2, dim, 3, stride=2, padding=1),
        )
        self.conditioning_transformer = Encoder(config.conditioning, config.n_groups)
        self.to_conditioning_latent = nn.Linear(dim, dim, bias=False)
        self.speech_emb = Codes(config.n_codes, dim)
        self.speech_transformer = Encoder(config.speech, config.n_groups)
        self.to_speech_latent = nn.Linear(dim, dim, bias=False)

    def forward(
        self, spec: Float[Tensor, "batch mels frames"], codes: Int[Tensor, "batch codes"]
    ) -> Float[Tensor, "batch"]:
        """How well each recording and its codes fit: the cosine of their latents, times exp(temperature).

        Recordings of one batch are equally long, and so are the codes: a group norm sees every position.
        """
        fit = (self.conditioning_latent(spec) * self.speech_latent(codes)).sum(-1)
        return fit * self.temperature.exp()

    def conditioning_latent(self, spec: Float[Tensor, "batch mels frames"]) -> Latent:
        """Recordings in the common space, each of length 1."""
        encoded = self.conditioning_transformer(self.cond_emb(spec))
        return functional.normalize(self.to_conditioning_latent(encoded), dim=-1)

    def speech_latent(self, codes: Int[Tensor, "batch codes"]) -> Latent:
        """Codes in the common space, each sequence of length 1."""
        encoded = self.speech_transformer(self.speech_emb(codes))
        return functional.normalize(self.to_speech_latent(encoded), dim=-1)

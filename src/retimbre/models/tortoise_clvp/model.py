"""CLVP, contrastive language-voice pretraining: how well do codes fit a text? It ranks what TorToiSe's
autoregressive model offers (https://arxiv.org/abs/2305.07243). Tensors have TorToiSe's names.

Axes used in this file:
    batch    pairs of a text and codes
    candidates  sequences of codes for one text
    symbols  of the longest text, padded
    codes    of the longest sequence of codes, padded
    times    either
    dim      channels
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from retimbre.jobs.listener import Watch
from retimbre.models.tortoise_clvp.config import ClvpConfig
from retimbre.nn.masks import mask_from_lengths
from retimbre.nn.rotary_encoder import IsReal, RotaryEncoder, RotarySizes

Latent = Float[Tensor, "batch dim"]
Lengths = Int[Tensor, "batch"] | None

CANDIDATES_AT_A_TIME = 16


class Encoder(nn.Module):
    """A rotary encoder, one level down in the names."""

    def __init__(self, sizes: RotarySizes) -> None:
        super().__init__()
        self.transformer = RotaryEncoder(sizes)

    def forward(
        self, x: Float[Tensor, "batch times dim"], is_real: IsReal = None
    ) -> Float[Tensor, "batch times dim"]:
        return self.transformer(x, is_real)


class CLVP(nn.Module):
    """One encoder for text and one for codes; both end in the same space."""

    def __init__(self, config: ClvpConfig) -> None:
        super().__init__()
        self.config = config
        self.temperature = nn.Parameter(torch.ones(()))
        self.text_emb = nn.Embedding(config.n_symbols, config.text_dim)
        self.to_text_latent = nn.Linear(config.text_dim, config.latent_dim, bias=False)
        self.speech_emb = nn.Embedding(config.n_codes, config.speech_dim)
        self.to_speech_latent = nn.Linear(config.speech_dim, config.latent_dim, bias=False)
        self.text_transformer = Encoder(config.text)
        self.speech_transformer = Encoder(config.speech)

    def forward(
        self,
        text: Int[Tensor, "batch symbols"],
        codes: Int[Tensor, "batch codes"],
        *,
        n_symbols: Lengths = None,
        n_codes: Lengths = None,
    ) -> Float[Tensor, "batch"]:
        """How well each text and its codes fit: the cosine of their latents, times exp(temperature).

        TorToiSe itself passes all codes with their padding and no lengths; scores are comparable only among
        calls that do the same.
        """
        text_latent = self.text_latent(text, n_symbols)
        return (text_latent * self.speech_latent(codes, n_codes)).sum(-1) * self.temperature.exp()

    def scores(
        self,
        text: Int[Tensor, "symbols"],
        candidates: Int[Tensor, "candidates codes"],
        *,
        n_codes: Int[Tensor, "candidates"] | None = None,
        at_a_time: int = CANDIDATES_AT_A_TIME,
        watch: Watch | None = None,
    ) -> Float[Tensor, "candidates"]:
        """What `forward` gives for one text and each of several candidates; the text is read once.

        Args:
            text: Without padding.
            candidates: Codes that were offered for it.
            n_codes: How many of them are real; None: all, as TorToiSe has it.
            at_a_time: Candidates that are read together: a matter of memory.
            watch: Told how many have been read.
        """
        latents = []
        for first in range(0, len(candidates), at_a_time):
            group = slice(first, first + at_a_time)
            latents.append(self.speech_latent(candidates[group], None if n_codes is None else n_codes[group]))
            if watch is not None:
                watch(min(first + at_a_time, len(candidates)), len(candidates))
        return (self.text_latent(text.unsqueeze(0)) * torch.cat(latents)).sum(-1) * self.temperature.exp()

    def text_latent(self, text: Int[Tensor, "batch symbols"], n_symbols: Lengths = None) -> Latent:
        """Texts in the common space, each of length 1."""
        is_real = None if n_symbols is None else mask_from_lengths(n_symbols, text.shape[1])
        encoded = self.text_transformer(self.text_emb(text), is_real)
        mean = mean_over_time(encoded, is_real)
        # In the type of the mean, for in bfloat16 good candidates would seem equally good.
        return functional.normalize(self.to_text_latent(mean).to(mean.dtype), dim=-1)

    def speech_latent(self, codes: Int[Tensor, "batch codes"], n_codes: Lengths = None) -> Latent:
        """Codes in the common space, each sequence of length 1."""
        is_real = None if n_codes is None else mask_from_lengths(n_codes, codes.shape[1])
        encoded = self.speech_transformer(self.speech_emb(codes), is_real)
        mean = mean_over_time(encoded, is_real)
        return functional.normalize(self.to_speech_latent(mean).to(mean.dtype), dim=-1)


def mean_over_time(x: Float[Tensor, "batch times dim"], is_real: IsReal) -> Latent:
    """The mean of the real positions of each utterance."""
    if is_real is None:
        return x.mean(1)
    weight = is_real.unsqueeze(-1).to(x.dtype)
    return x.masked_fill(~is_real.unsqueeze(-1), 0.0).sum(1) / weight.sum(1).clamp(min=1)

"""Learned alignment of symbols with frames (https://arxiv.org/abs/2108.10447).

Each frame of the true spec is compared with each symbol; a prior draws the result towards the diagonal, and
the best path through it, symbol after symbol, gives the durations.

Axes used in this file:
    batch    utterances
    symbols  symbols of the longest utterance, padded
    frames   frames of the longest utterance, padded
    dim      channels of the encoder
    mels     bands of a spec
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from retimbre.errors import DataError
from retimbre.models.fastspeech2.paths import best_paths, log_prior
from retimbre.models.fastspeech2.timing import Timing
from retimbre.nn.conv import ConvOverTime
from retimbre.nn.masks import mask_from_lengths

SHARPNESS = 0.0005  # how much a squared distance counts
IMPOSSIBLE = -1e9  # finite, so that gradients stay so


@dataclass(frozen=True, kw_only=True)
class Alignment:
    """How likely each frame belongs to each symbol, and the best path.

    Args:
        log_prob: Similarity and prior, not normalised: what the CTC loss reads.
        log_soft: The same normalised over the symbols.
        timing: The best path.
    """

    log_prob: Float[Tensor, "batch frames symbols"]
    log_soft: Float[Tensor, "batch frames symbols"]
    timing: Timing


class ConvNorm(nn.Module):
    """A convolution under the name that it has in checkpoints."""

    def __init__(self, dim_in: int, dim_out: int, kernel: int = 1) -> None:
        super().__init__()
        self.conv = ConvOverTime(dim_in, dim_out, kernel)

    def forward(self, x: Float[Tensor, "batch times dim_in"]) -> Float[Tensor, "batch times dim_out"]:
        return self.conv(x)


class ConvAttention(nn.Module):
    """Symbols and frames are brought into one space, where their distance says how well they fit."""

    def __init__(self, *, dim: int, n_mels: int, attention_dim: int) -> None:
        super().__init__()
        self.key_proj = nn.Sequential(ConvNorm(dim, 2 * dim, 3), nn.ReLU(), ConvNorm(2 * dim, attention_dim))
        self.query_proj = nn.Sequential(
            ConvNorm(n_mels, 2 * n_mels, 3),
            nn.ReLU(),
            ConvNorm(2 * n_mels, n_mels),
            nn.ReLU(),
            ConvNorm(n_mels, attention_dim),
        )

    def forward(
        self,
        embedded: Float[Tensor, "batch symbols dim"],
        n_symbols: Int[Tensor, "batch"],
        spec: Float[Tensor, "batch frames mels"],
        n_frames: Int[Tensor, "batch"],
    ) -> Alignment:
        """Align `spec` with symbols that have only been looked up in the table, without any context."""
        _require_a_frame_for_each_symbol(n_symbols, n_frames)
        is_symbol = mask_from_lengths(n_symbols, embedded.shape[1])
        is_frame = mask_from_lengths(n_frames, spec.shape[1])
        with torch.autocast(spec.device.type, enabled=False):
            keys = self.key_proj(embedded.float() * is_symbol.unsqueeze(-1))
            queries = self.query_proj(spec.float() * is_frame.unsqueeze(-1))
            score = self._score(queries, keys).masked_fill(~is_symbol.unsqueeze(1), IMPOSSIBLE)
            prior = log_prior(
                n_frames.tolist(), n_symbols.tolist(), n_padded=(score.shape[1], score.shape[2])
            )
            log_prob = score.log_softmax(-1) + prior.to(score.device)
            log_soft = log_prob.log_softmax(-1)
        return Alignment(
            log_prob=log_prob, log_soft=log_soft, timing=_best_timing(log_soft, n_frames, n_symbols)
        )

    def _score(
        self, queries: Float[Tensor, "batch frames width"], keys: Float[Tensor, "batch symbols width"]
    ) -> Float[Tensor, "batch frames symbols"]:
        # Minus the squared distance, without the part that is equal for all symbols: softmax removes it, and
        # without a difference of each pair no tensor has four axes.
        lengths = -SHARPNESS * keys.square().sum(-1).unsqueeze(1)
        return torch.baddbmm(lengths, queries, keys.transpose(1, 2), alpha=2 * SHARPNESS)


def _best_timing(
    log_soft: Float[Tensor, "batch frames symbols"],
    n_frames: Int[Tensor, "batch"],
    n_symbols: Int[Tensor, "batch"],
) -> Timing:
    scores = log_soft.detach().cpu().numpy()
    paths = torch.from_numpy(best_paths(scores, n_frames.cpu().numpy(), n_symbols.cpu().numpy()))
    symbol_of_frame = paths.to(log_soft.device)
    is_frame = mask_from_lengths(n_frames, log_soft.shape[1])
    durations = torch.zeros(log_soft.shape[0], log_soft.shape[2], dtype=torch.long, device=log_soft.device)
    durations.scatter_add_(1, symbol_of_frame, is_frame.long())
    return Timing(durations=durations, symbol_of_frame=symbol_of_frame, n_frames=n_frames)


def _require_a_frame_for_each_symbol(n_symbols: Int[Tensor, "batch"], n_frames: Int[Tensor, "batch"]) -> None:
    too_short = n_frames < n_symbols
    if too_short.any():
        first = int(too_short.nonzero()[0])
        raise DataError(
            f"utterance {first} of the batch is too short for its text",
            expected=f"at least {int(n_symbols[first])} frames, one for each symbol",
            found=f"{int(n_frames[first])} frames",
            do="leave it out, or check that its recording and its text belong together",
        )

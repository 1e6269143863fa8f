"""Timing: which frames belong to which symbol, and what follows from that.

Axes used in this file:
    batch    utterances
    symbols  symbols of the longest utterance, padded
    frames   frames of the longest utterance, padded
    dim      channels
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from retimbre.nn.masks import mask_from_lengths


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Durations in frames, and the same seen from the frames: the symbol that each belongs to."""

    durations: Int[Tensor, "batch symbols"]
    symbol_of_frame: Int[Tensor, "batch frames"]
    n_frames: Int[Tensor, "batch"]

    @classmethod
    def from_durations(
        cls, durations: Int[Tensor, "batch symbols"], *, n_frames_padded: int | None = None
    ) -> "Timing":
        """One symbol after the other, each as long as its duration."""
        ends = durations.long().cumsum(1)
        n_frames = ends[:, -1]
        n = int(n_frames.max()) if n_frames_padded is None else n_frames_padded
        frames = torch.arange(n, device=ends.device).expand(len(ends), n).contiguous()
        # Frames of padding lie behind the last end; they are given the last symbol and masked everywhere.
        symbol_of_frame = torch.searchsorted(ends, frames, right=True).clamp(max=ends.shape[1] - 1)
        return cls(durations=durations, symbol_of_frame=symbol_of_frame, n_frames=n_frames)

    @property
    def is_frame(self) -> Bool[Tensor, "batch frames"]:
        """True for frames, False for padding."""
        return mask_from_lengths(self.n_frames, self.symbol_of_frame.shape[1])

    def stretch(self, x: Float[Tensor, "batch symbols dim"]) -> Float[Tensor, "batch frames dim"]:
        """Repeat what each symbol holds for as many frames as it lasts."""
        n_utterances, n_symbols, _ = x.shape
        first = torch.arange(n_utterances, device=x.device).unsqueeze(1) * n_symbols
        return functional.embedding(first + self.symbol_of_frame, x.flatten(0, 1))

    def mean_per_symbol(self, values: Float[Tensor, "batch frames"]) -> Float[Tensor, "batch symbols"]:
        """The mean over the frames of each symbol whose value is not zero; 0.0 where there is none."""
        # Checkpoint quirk: EveryVoice counts a zero as "nothing measured" even after normalisation, where it
        # is the mean; pinned by test_a_zero_does_not_count.
        symbols = torch.arange(self.durations.shape[1], device=values.device)
        is_owner = (self.symbol_of_frame.unsqueeze(-1) == symbols) & self.is_frame.unsqueeze(-1)
        with torch.autocast(values.device.type, enabled=False):
            owner = is_owner.float()
            sums = torch.einsum("bf,bfs->bs", values.float(), owner)
            counts = torch.einsum("bf,bfs->bs", values.ne(0).float(), owner)
            return sums / counts.clamp(min=1)

"""Paths from the first symbol to the last: which are likely beforehand, and which is best. Plain numbers.

Axes used in this file:
    batch    utterances
    symbols  symbols of the longest utterance, padded
    frames   frames of the longest utterance, padded
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int, Int64
from numpy import ndarray
from scipy import ndimage, special
from torch import Tensor

FRAME_GRID = 100  # priors are worked out for multiples of these sizes and stretched to others
SYMBOL_GRID = 20
SMALLEST_PRIOR = 1e-8  # added before the logarithm


def best_paths(
    scores: Float32[ndarray, "batch frames symbols"],
    n_frames: Int[ndarray, "batch"],
    n_symbols: Int[ndarray, "batch"],
) -> Int64[ndarray, "batch frames"]:
    """The symbol of each frame on the path with the largest sum; frames of padding get symbol 0.

    A path begins at the first symbol, ends at the last, and from frame to frame stays or goes on by one. All
    utterances and symbols are worked on at once, so that only frames are counted one by one.
    """
    goes_on = _forward(scores)
    n_utterances, n_padded, _ = scores.shape
    every = np.arange(n_utterances)
    path = np.zeros((n_utterances, n_padded), dtype=np.int64)
    symbol = n_symbols.astype(np.int64) - 1
    for frame in range(n_padded - 1, -1, -1):
        is_frame = frame < n_frames
        path[:, frame] = np.where(is_frame, symbol, 0)
        symbol = symbol - (goes_on[frame, every, symbol] & is_frame)
    return path


def _forward(scores: Float32[ndarray, "batch frames symbols"]) -> Bool[ndarray, "frames batch symbols"]:
    """Does the best path to this frame and symbol come from the symbol before? In a tie it does."""
    n_utterances, n_frames, n_symbols = scores.shape
    by_frame = np.ascontiguousarray(scores.transpose(1, 0, 2))
    goes_on = np.zeros((n_frames, n_utterances, n_symbols), dtype=np.bool_)
    best = np.full((n_utterances, n_symbols + 1), -np.inf, dtype=np.float32)  # column 0: before the first
    best[:, 1] = by_frame[0, :, 0]
    for frame in range(1, n_frames):
        before, stays = best[:, :-1], best[:, 1:]
        np.greater_equal(before, stays, out=goes_on[frame])
        best[:, 1:] = np.maximum(before, stays) + by_frame[frame]
    goes_on[:, :, 0] = False
    return goes_on


def log_prior(
    n_frames: Sequence[int], n_symbols: Sequence[int], *, n_padded: tuple[int, int]
) -> Float[Tensor, "batch frames symbols"]:
    """The logarithm of how likely each frame belongs to each symbol by its place alone; padding is 0."""
    priors = torch.zeros(len(n_frames), *n_padded)
    for row, frames, symbols in zip(priors, n_frames, n_symbols, strict=True):
        row[:frames, :symbols] = torch.from_numpy(_log_prior_of_one(frames, symbols))
    return priors


@lru_cache(maxsize=1024)
def _log_prior_of_one(n_frames: int, n_symbols: int) -> Float32[ndarray, "frames symbols"]:
    on_grid = _beta_binomial(_to_grid(n_frames, FRAME_GRID), _to_grid(n_symbols, SYMBOL_GRID))
    # Checkpoint quirk: models were trained with this prior, stretched from a grid of sizes by scipy's `zoom`,
    # which leaves the last row or column empty for some sizes; pinned by test_the_prior_equals_the_reference.
    zoom = (n_frames / on_grid.shape[0], n_symbols / on_grid.shape[1])
    prior = ndimage.zoom(on_grid, zoom, order=1)
    return np.log(prior + SMALLEST_PRIOR).astype(np.float32)


def _to_grid(n: int, grid: int) -> int:
    return max(1, round((n + 1) / grid)) * grid


@lru_cache(maxsize=64)
def _beta_binomial(n_frames: int, n_symbols: int) -> Float[ndarray, "frames symbols"]:
    """Column s: how frames 0, 1, ... of `n_frames` are distributed that belong to symbol s."""
    frame = np.arange(n_frames)[:, None]
    a = np.arange(1, n_symbols + 1)[None]
    b = n_symbols + 1 - a
    ways = special.gammaln(n_frames + 1) - special.gammaln(frame + 1) - special.gammaln(n_frames - frame + 1)
    log_mass = ways + special.betaln(frame + a, n_frames - frame + b) - special.betaln(a, b)
    return np.exp(log_mass)

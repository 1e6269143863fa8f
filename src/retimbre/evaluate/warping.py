"""Dynamic time warping: which frame of one utterance belongs to which of another.

Axes used in this file:
    ours, theirs  frames of the two utterances
    coefs         numbers that describe a frame
    path          pairs of frames, from the first of both to the last of both
"""

import numpy as np
from jaxtyping import Float64, Int64
from scipy.spatial.distance import cdist

from retimbre.errors import DataError

MOST_FRAMES = 4000  # 20 s at 5 ms: the table of costs then takes 128 MB


def warp(
    ours: Float64[np.ndarray, "ours coefs"], theirs: Float64[np.ndarray, "theirs coefs"]
) -> Int64[np.ndarray, "path 2"]:
    """The cheapest path through both, with Euclidean cost and steps (1, 0), (0, 1) and (1, 1)."""
    longest = max(len(ours), len(theirs))
    if longest > MOST_FRAMES:
        raise DataError(
            "an utterance is too long to be aligned by time warping",
            expected=f"at most {MOST_FRAMES} frames",
            found=str(longest),
            do="split it into shorter ones",
        )
    return _way_back(_totals(cdist(ours, theirs)))


def _totals(cost: Float64[np.ndarray, "ours theirs"]) -> Float64[np.ndarray, "ours_1 theirs_1"]:
    """The cost of the cheapest path to every pair, with a border of infinity before the first of both."""
    n_ours, n_theirs = cost.shape
    totals = np.full((n_ours + 1, n_theirs + 1), np.inf)
    totals[0, 0] = 0.0
    for diagonal in range(n_ours + n_theirs - 1):  # pairs on one diagonal do not depend on each other
        i = np.arange(max(0, diagonal - n_theirs + 1), min(n_ours, diagonal + 1))
        j = diagonal - i
        before = np.minimum(np.minimum(totals[i, j], totals[i, j + 1]), totals[i + 1, j])
        totals[i + 1, j + 1] = cost[i, j] + before
    return totals


def _way_back(totals: Float64[np.ndarray, "ours_1 theirs_1"]) -> Int64[np.ndarray, "path 2"]:
    i, j = totals.shape[0] - 1, totals.shape[1] - 1
    path = []
    while i > 0 and j > 0:
        path.append((i - 1, j - 1))
        _, i, j = min(
            (totals[i - 1, j - 1], i - 1, j - 1), (totals[i - 1, j], i - 1, j), (totals[i, j - 1], i, j - 1)
        )
    return np.asarray(path[::-1], dtype=np.int64)

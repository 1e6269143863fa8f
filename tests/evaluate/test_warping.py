"""Time warping finds the cheapest path."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from retimbre.errors import DataError
from retimbre.evaluate import warping


def cheapest(cost, i, j):
    if i == 0 and j == 0:
        return cost[0, 0]
    before = [cheapest(cost, *at) for at in ((i - 1, j), (i, j - 1), (i - 1, j - 1)) if min(at) >= 0]
    return cost[i, j] + min(before)


@pytest.mark.parametrize(("n_ours", "n_theirs"), [(5, 7), (7, 4), (1, 5), (1, 1)])
def test_path_costs_as_little_as_any(n_ours, n_theirs):
    generator = np.random.default_rng(n_ours)
    ours, theirs = generator.standard_normal((n_ours, 3)), generator.standard_normal((n_theirs, 3))
    path = warping.warp(ours, theirs)
    cost = cdist(ours, theirs)
    assert cost[path[:, 0], path[:, 1]].sum() == pytest.approx(cheapest(cost, n_ours - 1, n_theirs - 1))


def test_path_runs_from_first_to_last_without_gaps():
    generator = np.random.default_rng(1)
    path = warping.warp(generator.standard_normal((40, 2)), generator.standard_normal((31, 2)))
    assert path[0].tolist() == [0, 0]
    assert path[-1].tolist() == [39, 30]
    steps = np.diff(path, axis=0)
    assert steps.min() == 0
    assert steps.max() == 1
    assert steps.sum(axis=1).min() == 1


def test_endless_speech_is_refused(monkeypatch):
    monkeypatch.setattr(warping, "MOST_FRAMES", 10)
    with pytest.raises(DataError, match="too long"):
        warping.warp(np.ones((11, 2)), np.ones((3, 2)))

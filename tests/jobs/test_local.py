import os
from functools import partial

import pytest
import torch

from retimbre.errors import AudioError, RunError
from retimbre.jobs import local
from retimbre.jobs.local import map_items


# Functions of installed modules: the processes of a pool must be able to import them.
def test_results_come_in_the_order_of_the_items():
    items = [2**n for n in range(30, 0, -1)]
    assert list(map_items(partial(pow, 3, mod=7), items, n_workers=2)) == [pow(3, n, 7) for n in items]


def test_one_worker_stays_in_this_process():
    assert set(map_items(lambda _: os.getpid(), range(3), n_workers=1)) == {os.getpid()}


def test_one_worker_uses_one_thread_and_gives_the_others_back():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert list(map_items(lambda _: torch.get_num_threads(), range(2), n_workers=1)) == [1, 1]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_items_are_taken_only_as_fast_as_they_are_done():
    taken = []

    def items():
        for n in range(1000):
            taken.append(n)
            yield n

    results = map_items(abs, items(), n_workers=2)
    assert next(results) == 0
    assert len(taken) <= 1 + 2 * local.IN_FLIGHT_PER_WORKER
    results.close()


def test_exceptions_of_the_function_come_through():
    with pytest.raises(ZeroDivisionError):
        list(map_items(partial(divmod, 1), [0], n_workers=2))
    with pytest.raises(AudioError):
        list(map_items(_refuse, [0], n_workers=1))


def test_death_of_a_process_is_explained():
    with pytest.raises(RunError, match="worker processes died"):
        list(map_items(os._exit, [3], n_workers=2))


def test_no_workers_are_refused():
    with pytest.raises(RunError, match="at least 1 worker"):
        map_items(abs, [1], n_workers=0)


def _refuse(_):
    raise AudioError("no")

"""Order of the batches: a function of seed and position, and of nothing else."""

from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from retimbre.errors import DataError, MissingExtra
from retimbre.training.batching import BatchOrder, Key, batch_loader, item_random


def lengths(n, seed=0):
    return np.random.default_rng(seed).integers(20, 400, n).tolist()


def first(order, n):
    return list(islice(order, n))


@settings(max_examples=30, deadline=None)
@given(
    n=st.integers(1, 40), batch_size=st.integers(1, 9), position=st.integers(0, 60), seed=st.integers(0, 9)
)
def test_the_order_can_be_entered_at_any_position(n, batch_size, position, seed):
    whole = first(BatchOrder(lengths(n), batch_size, seed=seed), position + 10)
    entered = first(BatchOrder(lengths(n), batch_size, seed=seed, position=position), 10)

    assert entered == whole[position:]


@settings(max_examples=30, deadline=None)
@given(n=st.integers(1, 100), batch_size=st.integers(1, 12), epoch=st.integers(0, 5))
def test_each_pass_draws_every_utterance_equally_often(n, batch_size, epoch):
    order = BatchOrder(lengths(n), batch_size, seed=3)
    batches = order.batches(epoch)
    drawn = [key.item for batch in batches for key in batch]
    times = 1 if n >= batch_size else -(-batch_size // n)

    assert sorted(drawn) == sorted(list(range(n)) * times)
    assert {key.draw // times for batch in batches for key in batch} == {epoch}
    assert len(batches) == order.batches_per_epoch
    assert max(len(batch) for batch in batches) == min(batch_size, n * times)


def test_a_set_smaller_than_a_batch_still_fills_one():
    assert len(BatchOrder([50, 60, 70], 8, seed=1).batches(0)[0]) == 8


def test_a_batch_holds_utterances_of_similar_length():
    n_frames = np.array(lengths(400))
    shuffled = np.random.default_rng(1).permutation(400).reshape(-1, 8)
    batches = BatchOrder(lengths(400), 8, seed=1).batches(0)

    def padding(groups):
        return sum(n_frames[g].max() * len(g) - n_frames[g].sum() for g in groups)

    assert padding([[k.item for k in batch] for batch in batches]) < 0.4 * padding(shuffled)


def test_batches_do_not_come_in_the_order_of_their_lengths():
    n_frames = np.array(lengths(400))
    batches = BatchOrder(lengths(400), 8, seed=1).batches(0)
    means = [n_frames[[key.item for key in batch]].mean() for batch in batches]

    assert abs(np.corrcoef(means, np.arange(len(means)))[0, 1]) < 0.5


def test_another_seed_gives_another_order():
    one, other = (first(BatchOrder(lengths(40), 4, seed=seed), 10) for seed in (1, 2))

    assert one != other


def test_one_device_shuffles_between_passes():
    order = BatchOrder(lengths(40), 4, seed=1)
    one, other = ([[key.item for key in batch] for batch in order.batches(epoch)] for epoch in (0, 1))

    assert one != other
    assert {frozenset(batch) for batch in one} != {frozenset(batch) for batch in other}


def test_what_is_random_about_an_item_depends_on_seed_item_and_pass():
    drawn = {
        (seed, key): item_random(seed, key).integers(1 << 40)
        for seed in (1, 2)
        for key in (Key(0, 0), Key(0, 1), Key(1, 0))
    }

    assert len(set(drawn.values())) == 6
    assert item_random(1, Key(0, 1)).integers(1 << 40) == drawn[1, Key(0, 1)]


class Drawn(torch.utils.data.Dataset):
    """An item is its key and a number drawn for it."""

    def __init__(self, n):
        self.n = n

    def __len__(self):
        return self.n

    def __getitem__(self, key):
        return [*key, int(item_random(5, key).integers(1 << 40))]


def load(n_workers, n_batches=9):
    order = BatchOrder(lengths(7), 2, seed=5)
    loader = batch_loader(Drawn(7), order, torch.tensor, n_workers=n_workers)
    return torch.cat(list(islice(loader, n_batches)))


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # from Python 3.12 on, on any fork
@pytest.mark.parametrize("n_workers", [1, 2])
def test_batches_are_the_same_for_any_number_of_workers(n_workers, monkeypatch):
    plain = torch.utils.data.DataLoader

    def forking(*arguments, multiprocessing_context, **rest):
        """As the loader, but its workers need not import torch anew."""
        context = "fork" if multiprocessing_context else None
        return plain(*arguments, multiprocessing_context=context, **rest)

    monkeypatch.setattr("retimbre.training.batching.DataLoader", forking)

    assert load(n_workers).equal(load(0))


def test_there_are_never_more_workers_than_cores(monkeypatch):
    asked = []
    plain = torch.utils.data.DataLoader

    def heard(*arguments, num_workers, multiprocessing_context, **rest):
        asked.append(num_workers)
        return plain(*arguments, **rest)

    monkeypatch.setattr("retimbre.training.batching.DataLoader", heard)
    monkeypatch.setattr("retimbre.training.batching.n_cores", lambda: 3)
    assert load(64).equal(load(2))
    assert asked == [3, 2]


class Refusing(torch.utils.data.Dataset):
    """Items that cannot be used, from the third one drawn on."""

    def __len__(self):
        return 7

    def __getitem__(self, key):
        if key.item > 2:
            raise DataError("a spec cannot be used", expected="4", found="5", do="prepare it again")
        return [key.item]


class NeedsMore(Refusing):
    """Items that need a package; the error takes other arguments than most."""

    def __getitem__(self, key):
        raise MissingExtra("Loading", extra="train")


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("n_workers", [0, 2])
@pytest.mark.parametrize(
    ("dataset", "expected"),
    [
        (Refusing(), DataError("a spec cannot be used", expected="4", found="5", do="prepare it again")),
        (NeedsMore(), MissingExtra("Loading", extra="train")),
    ],
)
def test_an_error_of_ours_comes_out_of_a_worker_as_it_is(dataset, expected, n_workers, monkeypatch):
    plain = torch.utils.data.DataLoader

    def forking(*arguments, multiprocessing_context, **rest):
        return plain(*arguments, multiprocessing_context="fork" if multiprocessing_context else None, **rest)

    monkeypatch.setattr("retimbre.training.batching.DataLoader", forking)
    order = BatchOrder(lengths(7), 2, seed=5)
    with pytest.raises(type(expected)) as told:
        list(islice(batch_loader(dataset, order, torch.tensor, n_workers=n_workers), 9))

    assert str(told.value) == str(expected)
    assert vars(told.value) == vars(expected)


def test_loading_draws_nothing_from_the_numbers_of_dropout():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    load(0)

    assert torch.get_rng_state().equal(before)


def test_a_batch_larger_than_the_set_draws_each_item_anew():
    order = BatchOrder([5, 6, 7], batch_size=8, seed=3)
    for epoch in range(3):
        for batch in order.batches(epoch):
            assert len(set(batch)) == len(batch)

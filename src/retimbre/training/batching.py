"""Length buckets and their resumable order: batch k of a run is the same however the run got there."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
from torch import Generator
from torch.utils.data import DataLoader, Dataset, Sampler

from retimbre.errors import RetimbreError
from retimbre.jobs.local import n_cores

Item = TypeVar("Item")


class Key(NamedTuple):
    """Which item, and the pass it is drawn in: together they seed whatever is random about it."""

    item: int
    draw: int


class BatchOrder(Sampler[list[Key]]):
    """An endless sequence of batches that can be entered at any position.

    Every pass shuffles anew; within a window of `window` batches, items of similar length come together,
    so that little is padded. Nothing depends on the number of workers.
    """

    def __init__(
        self, lengths: Sequence[int], batch_size: int, *, seed: int, position: int = 0, window: int = 8
    ) -> None:
        self.lengths = np.asarray(lengths)
        self.batch_size, self.seed, self.position, self.window = batch_size, seed, position, window

    @property
    def batches_per_epoch(self) -> int:
        """Batches of one pass; a set smaller than a batch is drawn several times to fill one."""
        return -(-len(self._pool(0)) // self.batch_size)

    @property
    def _passes(self) -> int:
        """How often all items are drawn to fill at least one batch."""
        return max(1, -(-self.batch_size // len(self.lengths)))

    def _pool(self, epoch: int) -> list[Key]:
        random = np.random.default_rng((self.seed, epoch))
        draws = range(epoch * self._passes, (epoch + 1) * self._passes)
        return [Key(int(item), draw) for draw in draws for item in random.permutation(len(self.lengths))]

    def batches(self, epoch: int) -> list[list[Key]]:
        """All batches of one pass."""
        pool = self._pool(epoch)
        span = self.batch_size * self.window
        for start in range(0, len(pool), span):
            pool[start : start + span] = sorted(
                pool[start : start + span], key=lambda key: self.lengths[key.item]
            )
        starts = np.arange(0, len(pool), self.batch_size)
        order = np.random.default_rng((self.seed, epoch, 1)).permutation(starts)
        return [pool[start : start + self.batch_size] for start in order]

    def __iter__(self) -> Iterator[list[Key]]:
        epoch, skip = divmod(self.position, self.batches_per_epoch)
        while True:
            yield from self.batches(epoch)[skip:]
            epoch, skip = epoch + 1, 0


def item_random(seed: int, key: Key) -> np.random.Generator:
    """The random numbers of one item in one pass, whichever process draws them."""
    return np.random.default_rng((seed, key.draw, key.item, 2))


def batch_loader(
    dataset: "Dataset[Any]",
    order: BatchOrder,
    collate: Callable[[list[Item]], Any],
    *,
    n_workers: int,
) -> Iterator[Any]:
    """Batches of `dataset` in `order`; the order and the values are the same for any number of workers."""
    loader = DataLoader(
        _WholeBatches(dataset, collate),
        sampler=order,
        batch_size=None,
        collate_fn=_as_it_is,
        num_workers=min(n_workers, n_cores()),  # more of them would only wait for each other
        multiprocessing_context="forkserver" if n_workers else None,
        # A generator of its own: a loader must not draw from the numbers that dropout uses.
        generator=Generator().manual_seed(order.seed),
    )
    return _raising(iter(loader))


class _WholeBatches(Dataset[Any]):
    """A batch for each list of keys, or the error that it ended in: raised in a worker, torch would make one
    long text of it."""

    def __init__(self, dataset: "Dataset[Any]", collate: Callable[[list[Any]], Any]) -> None:
        self.dataset, self.collate = dataset, collate

    def __getitem__(self, keys: list[Key]) -> Any:  # noqa: ANN401
        try:
            return self.collate([self.dataset[key] for key in keys])
        except RetimbreError as error:
            return error


def _as_it_is(batch: Any) -> Any:  # noqa: ANN401
    return batch


def _raising(batches: Iterator[Any]) -> Iterator[Any]:
    for batch in batches:
        if isinstance(batch, RetimbreError):
            raise batch
        yield batch

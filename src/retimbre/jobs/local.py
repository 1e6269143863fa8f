"""Run one function over many items: in this process, or in a pool of processes."""

import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from itertools import islice
from multiprocessing.context import BaseContext
from typing import TypeVar

import torch

from retimbre.errors import RunError

Item = TypeVar("Item")
Result = TypeVar("Result")

IN_FLIGHT_PER_WORKER = (
    4  # enough that no worker waits, few enough that a million items are not queued at once
)


def n_cores() -> int:
    """Cores that this process may use, which can be fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def map_items(
    fn: Callable[[Item], Result], items: Iterable[Item], *, n_workers: int | None = None
) -> Iterator[Result]:
    """Results in the order of `items`, each computed with one torch thread.

    With more than one worker `fn` must be importable by name (or a `functools.partial` of such a function),
    and a script that calls this needs `if __name__ == "__main__":`, because the processes import it.

    Args:
        n_workers: Processes; None takes all cores. 1 runs in this process.

    Raises:
        RunError: if a process died; an exception of `fn` itself comes through as it is.
    """
    n_workers = n_cores() if n_workers is None else n_workers
    if n_workers < 1:
        raise RunError("no work can be done", expected="at least 1 worker", found=str(n_workers))
    if n_workers == 1:
        return (_with_one_thread(fn, item) for item in items)
    return _in_processes(fn, items, n_workers)


def _in_processes(fn: Callable[[Item], Result], items: Iterable[Item], n_workers: int) -> Iterator[Result]:
    pool = ProcessPoolExecutor(
        n_workers,
        mp_context=_fresh_processes(fn),
        initializer=torch.set_num_threads,
        initargs=(1,),
    )
    rest = iter(items)
    waiting: deque[Future[Result]] = deque()
    try:
        for item in islice(rest, IN_FLIGHT_PER_WORKER * n_workers):
            waiting.append(pool.submit(fn, item))
        while waiting:
            result = waiting.popleft().result()
            for item in islice(rest, 1):
                waiting.append(pool.submit(fn, item))
            yield result
    except BrokenProcessPool as error:
        raise RunError(
            f"one of {n_workers} worker processes died",
            found="most often too little memory, or a script without 'if __name__ == \"__main__\":'",
            do="run it again with fewer workers",
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _fresh_processes(fn: Callable[..., object]) -> BaseContext:
    """Processes that are no copy of this one: a copy of a process that has used torch's threads can hang."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    # One process imports torch and what `fn` needs; the workers are copies of that one.
    context.set_forkserver_preload([_module_of(fn)])
    return context


def _module_of(fn: Callable[..., object]) -> str:
    while isinstance(fn, partial):
        fn = fn.func
    return fn.__module__


def _with_one_thread(fn: Callable[[Item], Result], item: Item) -> Result:
    # The same sums in the same order as in a worker process, so that both give the same bytes.
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return fn(item)
    finally:
        torch.set_num_threads(n_threads)

"""What this machine can do at most through torch, and how much of it others are using."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

ROUNDS = 15
READ_BYTES = 1 << 30  # far more than any cache holds
GEMM_SIDE = 2048
TICKS_PER_S = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
GLANCE_S, CALM_SHARE = 0.3, 0.1


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The best of several rounds.

    Args:
        read_bytes_per_s: From memory.
        flop_per_s: Of a large product of matrices, by the type of its numbers.
    """

    read_bytes_per_s: float
    flop_per_s: dict[str, float]

    @property
    def text(self) -> str:
        """One line."""
        products = ", ".join(f"{kind} {flop / 1e9:,.0f} GFLOP/s" for kind, flop in self.flop_per_s.items())
        return f"memory is read at {self.read_bytes_per_s / 1e9:.1f} GB/s; matrix products: {products}"

    def or_better(self, other: "Limits") -> "Limits":
        """The best of two measurements: whatever else went on only made one of them worse."""
        flop_per_s = {kind: max(flop, other.flop_per_s[kind]) for kind, flop in self.flop_per_s.items()}
        return Limits(
            read_bytes_per_s=max(self.read_bytes_per_s, other.read_bytes_per_s), flop_per_s=flop_per_s
        )

    def least_seconds(self, *, n_weights: int, weight_bytes: int, n_rows: int) -> float:
        """For one use of all weights on so many rows: reading them, or computing, whichever takes longer."""
        kind = "float32" if weight_bytes == 4 else "bfloat16"
        reading = n_weights * weight_bytes / self.read_bytes_per_s
        return max(reading, 2 * n_weights * n_rows / self.flop_per_s[kind])


def measure_limits(*, patience_s: float, is_tiny: bool = False) -> Limits:
    """Take a few seconds to find them, waiting for others; less, and less truly, where all is tiny."""
    wait_for_calm(patience_s)
    numbers = torch.ones((READ_BYTES >> 8 if is_tiny else READ_BYTES) // 4)
    read = numbers.nbytes / _best(partial(torch.dot, numbers, numbers))
    del numbers
    side = GEMM_SIDE >> 3 if is_tiny else GEMM_SIDE
    flop_per_s = {}
    for dtype in (torch.float32, torch.bfloat16):
        matrix = torch.randn(side, side).to(dtype)
        kind = str(dtype).removeprefix("torch.")
        wait_for_calm(patience_s)
        flop_per_s[kind] = 2 * side**3 / _best(partial(torch.mm, matrix, matrix))
    return Limits(read_bytes_per_s=read, flop_per_s=flop_per_s)


def _best(run: Callable[[], object]) -> float:
    seconds = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - began)
    return min(seconds)


class Others:
    """The share of all processors that other processes take, from 0 to 1."""

    def __init__(self) -> None:
        self._began, self._busy = time.perf_counter(), _busy_seconds()

    def share(self, own_cpu_seconds: float) -> float | None:
        """Since this object was made, without what is known to be our own; None: the system does not say."""
        busy = _busy_seconds()
        if busy is None or self._busy is None:
            return None
        in_all = (time.perf_counter() - self._began) * (os.cpu_count() or 1)
        return min(1.0, max(0.0, busy - self._busy - own_cpu_seconds) / in_all)


def wait_for_calm(patience_s: float) -> None:
    """Return when others take hardly anything, or when patience is at its end."""
    until = time.perf_counter() + patience_s
    while time.perf_counter() < until:
        others = Others()
        time.sleep(GLANCE_S)
        if (others.share(0.0) or 0.0) <= CALM_SHARE:
            return


def _busy_seconds() -> float | None:
    """What all processors have worked since the machine was started."""
    try:
        first = Path("/proc/stat").read_text().splitlines()[0]
    except OSError:
        return None
    user, nice, system, _idle, _waiting, interrupts, soft, stolen, *_ = map(int, first.split()[1:])
    return (user + nice + system + interrupts + soft + stolen) / TICKS_PER_S

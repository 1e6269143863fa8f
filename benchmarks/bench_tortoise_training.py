"""How long does a step of learning take TorToiSe's autoregressive network, and how much memory, against
DL-Art-School's module in an environment of its own?

    python benchmarks/bench_tortoise_training.py --full --dlas PATH --reference PYTHON
    python benchmarks/bench_tortoise_training.py        # a tiny network: only that all of it works

PATH is a checkout of DL-Art-School (its `codes` folder is read from there, and stays there); PYTHON has torch
and transformers 4.31, with which it was written. A step is forward, backward, clipping and AdamW, on a batch
of random utterances of one length. Both sides get the same batch, each in a process that stays alive, and
take turns: other work on the machine then slows down both. A line for each kind says

- the best and the median of its rounds, and the processor time of the best (waiting threads use some, too);
- how many times as fast as each kind of DL-Art-School's it is, round by round: the median and the spread;
- the share of all processors that others took: rounds that they disturbed count only if none was calm.

Then the most memory of each process. DL-Art-School recomputes all activations, as it does by default.
"""

import argparse
import os
import statistics
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from machine_limits import measure_limits
from tortoise_rounds import Contestant, Side, contest

from retimbre.checkpoint.write import write_json
from retimbre.errors import NoRoom, RetimbreError
from retimbre.pipelines.tortoise_estimate import free_memory

HERE = Path(__file__).resolve().parent
REFERENCE, DLAS = "TORTOISE_PYTHON", "DLAS"  # in the environment
N_MELS = 80
FULL_STEP_BYTES, FULL_IDLE_BYTES = 9_500_000_000, 6_000_000_000  # of one side, at work and waiting


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Of the network and of the batch. The defaults: the released network, four sentences of ten seconds."""

    layers: int = 30
    dim: int = 1024
    heads: int = 16
    batch: int = 4
    n_symbols: int = 60
    n_codes: int = 200
    n_clips: int = 2
    n_frames: int = 173
    lora_rank: int = 16
    lora_bytes: int = 3_500_000_000


TINY = Sizes(
    layers=2, dim=32, heads=2, batch=2, n_symbols=6, n_codes=9, n_frames=11, lora_rank=2, lora_bytes=1 << 40
)
STAGES = {
    "step": "one step; ours in bfloat16, as a recipe has it by `precision: bf16-mixed`",
    "float32": "one step; ours in float32, recomputing as much as fits into DL-Art-School's memory",
    "lora": "one step of low-rank matrices beside frozen weights, in bfloat16",
}


def main() -> None:
    """Measure and print."""
    given = _arguments()
    torch.set_num_threads(given.threads)
    sizes = Sizes() if given.full else TINY
    if not given.full:
        print("a tiny network: the figures say nothing about real ones")
    with tempfile.TemporaryDirectory() as place, ExitStack() as children:
        limits = measure_limits(patience_s=given.patience, is_tiny=not given.full)
        print(f"{given.threads} threads, {given.rounds} rounds; {limits.text}", flush=True)
        task = write_task(Path(place), sizes)
        sides = start(task, given.reference, given.dlas, n_threads=given.threads)
        for side in sides:
            children.callback(side.close)
        if given.full:
            require_memory(len(sides))
        facts: dict[str, Any] = {"limits": asdict(limits), "sizes": asdict(sizes), "stages": {}}
        for name in given.stages:
            facts["stages"][name] = measure(name, sides, given)
            if given.into:
                write_json(given.into, facts)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--full", action="store_true", help="at the released sizes: two sides need 16 GB")
    parser.add_argument("--dlas", type=Path, help=f"a checkout of DL-Art-School (default: ${DLAS})")
    parser.add_argument("--reference", help=f"a Python for it (default: ${REFERENCE})")
    parser.add_argument("--stages", nargs="+", choices=list(STAGES), default=list(STAGES), help="only these")
    parser.add_argument(
        "--rounds", type=int, default=3, help="calm ones, of each stage (default %(default)s)"
    )
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="default: all, %(default)s here")
    parser.add_argument(
        "--patience",
        type=float,
        default=30.0,
        metavar="S",
        help="wait so long before each run for others to be calm (default %(default)s)",
    )
    parser.add_argument("--into", type=Path, help="write all figures as JSON to this file")
    given = parser.parse_args()
    given.reference = given.reference or os.environ.get(REFERENCE)
    given.dlas = given.dlas or (Path(os.environ[DLAS]) if DLAS in os.environ else None)
    return given


def write_task(place: Path, sizes: Sizes) -> Path:
    """What both sides are told, in files of this folder."""
    generator = torch.Generator().manual_seed(0)
    inputs = {
        "clips": torch.randn((sizes.batch, sizes.n_clips, N_MELS, sizes.n_frames), generator=generator),
        "symbols": torch.randint(1, 255, (sizes.batch, sizes.n_symbols), generator=generator),
        "codes": torch.randint(0, 8192, (sizes.batch, sizes.n_codes), generator=generator),
    }
    torch.save(inputs, place / "inputs.pt")
    task = {
        "folder": str(place),
        "inputs": str(place / "inputs.pt"),
        "kwargs": {"sizes": asdict(sizes)},
        "n_codes": sizes.n_codes,
        "batch": sizes.batch,
        "n_steps": 1,
        "least_seconds": 0.0,
        "results": str(place),
    }
    write_json(place / "task.json", task)
    return place / "task.json"


def start(task: Path, reference: str | None, dlas: Path | None, *, n_threads: int) -> list[Side]:
    """DL-Art-School's process, where there is one, and ours."""
    threads = {"OMP_NUM_THREADS": str(n_threads), "PYTHONWARNINGS": "ignore"}
    ours = [Path(sys.executable), HERE / "tortoise_training_ours.py", task]
    sides = [Side("ours", ours, log=task.with_name("ours.log"), environment=threads)]
    if reference is None or dlas is None:
        print(f"without DL-Art-School: name it by --dlas and --reference, or by ${DLAS} and ${REFERENCE}")
        return sides
    theirs = [Path(reference), HERE / "tortoise_training_theirs.py", task, dlas]
    alone = threads | {"PYTHONPATH": ""}  # our packages are not for it
    return [Side("theirs", theirs, log=task.with_name("theirs.log"), environment=alone), *sides]


def require_memory(n_sides: int) -> None:
    """Stop before the machine does.

    Raises:
        NoRoom: One side at work and another waiting would fill the memory.
    """
    needed, free = FULL_STEP_BYTES + (n_sides - 1) * FULL_IDLE_BYTES, free_memory("cpu")
    if free is not None and free < needed:
        raise NoRoom(
            "there is too little free memory for the networks on all sides",
            expected=f"{needed / 1e9:.0f} GB",
            found=f"{free / 1e9:.0f} GB",
            do="end other programs, or measure one side at a time: leave out --dlas",
        )


def measure(name: str, sides: Sequence[Side], given: argparse.Namespace) -> dict[str, Any]:
    """One stage; a line for each kind of it."""
    print(f"\n{name}: {STAGES[name]}", flush=True)
    held = contest(name, sides, n_rounds=given.rounds, patience_s=given.patience)
    for each in held.contestants:
        print(f"  {told(each, held.contestants)}", flush=True)
    peaks = [f"{side} {n / 1e9:.2f} GB" for side, n in held.peak_bytes.items() if n]
    print(
        f"  {held.n_calm} of {held.n_rounds} rounds were calm; most memory: {', '.join(peaks) or 'not known'}"
    )
    return held.facts()


def told(one: Contestant, everyone: Sequence[Contestant]) -> str:
    """What is to be said about one kind of a stage."""
    if one.failure:
        return f"{one.name:<16} failed: {one.failure}"
    best = min(range(len(one.seconds)), key=one.seconds.__getitem__)
    parts = [
        f"{one.name:<16} best {one.seconds[best]:.2f} s (processors {one.cpu_seconds[best]:.2f} s)",
        f"median {statistics.median(one.seconds):.2f} s",
    ]
    for other in everyone:
        if one.side.name != other.side.name == "theirs" and other.seconds:
            ratios = one.times_faster_than(other)
            of_best = min(other.seconds) / min(one.seconds)
            by_processor = min(other.cpu_seconds) / min(one.cpu_seconds)
            parts.append(
                f"{statistics.median(ratios):.2f} x {other.name} ({min(ratios):.2f} .. {max(ratios):.2f}; "
                f"of the best {of_best:.2f}; processor time {by_processor:.2f})"
            )
    if one.result is not None:
        parts.append(f"loss at first {float(one.result):.3f}")
    if one.others:
        parts.append(f"others {sum(one.others) / len(one.others):.0%}")
    return "; ".join(parts)


if __name__ == "__main__":
    try:
        main()
    except RetimbreError as error:
        sys.exit(f"error: {error}")

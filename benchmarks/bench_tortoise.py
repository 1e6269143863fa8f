"""How fast is every stage of TorToiSe, against tortoise-tts in its own environment and against the machine?

    python benchmarks/make_tortoise_set.py SET                        # once: 4 GB of random weights
    python benchmarks/bench_tortoise.py SET --reference PYTHON        # PYTHON has tortoise-tts 3.0.0
    python benchmarks/bench_tortoise.py                               # a tiny set: only that all of it works

Both sides read the same files and the same inputs, each in a process that stays alive, and take turns: other
work on the machine then slows down both. A line for each kind of a stage says

- the median of its rounds and their spread;
- how many times as fast as TorToiSe's it is, round by round: again the median and the spread; and how many
  times less processor time it takes, which counts where others are busy (waiting threads use some, too);
- how far what it gives is from TorToiSe's in float32, or for a reduced kind from float32 on its own side;
- the share of all processors that others took: rounds that they disturbed count only if none was calm;
- for decoding, how much it is of what the machine can do at most: to read all weights once for each code, or
  to compute with them, whichever takes longer.
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
from machine_limits import Limits, measure_limits
from make_tortoise_set import write_set
from torch import Tensor
from tortoise_rounds import Contestant, Side, contest

from retimbre.checkpoint.write import write_json
from retimbre.errors import NoRoom, RetimbreError
from retimbre.models.explain import Explained, explain_file
from retimbre.pipelines.tortoise_estimate import free_memory

HERE = Path(__file__).resolve().parent
REFERENCE = "TORTOISE_PYTHON"  # in the environment: a Python that has tortoise-tts
FILES = ("autoregressive", "diffusion_decoder", "clvp2", "vocoder", "rlg_auto", "rlg_diffuser")
DECODERS = ("gpt.", "mel_head.")  # whose weights are used for each code
WEIGHT_BYTES = {"float32": 4, "bfloat16": 2, "int8": 1}
N_MELS, SAMPLE_RATE_HZ = 100, 24000
QUIET, LOUDNESS = -5.0, 2.0  # of a spec, in the natural logarithm
BESIDE_WEIGHTS = 2 << 30  # bytes: inputs, results, second copies of weights
BESIDE_THEIR_SENTENCE = 11 << 30  # TorToiSe's ranker keeps the attention of all its layers


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Of what is spoken, and how long a measurement is. The defaults: five seconds, and a vocoder's ten."""

    n_symbols: int = 60
    n_codes: int = 60
    batch: int = 16
    n_latents: int = 107
    n_frames: int = 465
    n_ranked: int = 150
    n_vocoded: int = 938
    n_steps: int = 30
    least_seconds: float = 0.2


TINY = Sizes(
    n_symbols=6,
    n_codes=5,
    batch=3,
    n_latents=7,
    n_frames=30,
    n_ranked=9,
    n_vocoded=12,
    n_steps=3,
    least_seconds=0.01,
)


@dataclass(frozen=True, kw_only=True)
class Stage:
    """What is timed.

    Args:
        what: For a heading; the sizes are put in.
        gives: What is compared: numbers, codes, or the length of a sound that chance has a part in.
        is_timed: Or only compared, after one run.
    """

    name: str
    what: str
    gives: str = "numbers"
    is_timed: bool = True


STAGES = (
    Stage(
        name="same-codes",
        what="the likeliest codes, TorToiSe's without its cache: with it, it counts places wrongly",
        gives="codes",
        is_timed=False,
    ),
    Stage(name="decode-1", what="{n_codes} codes after {n_symbols} symbols", gives="codes"),
    Stage(
        name="decode-16",
        what="{n_codes} codes after {n_symbols} symbols, {batch} candidates at once",
        gives="codes",
    ),
    Stage(name="latents", what="the second pass, {n_latents} codes"),
    Stage(name="diffusion-call", what="the network once, {n_frames} frames"),
    Stage(name="guided-step", what="a step with guidance, {n_frames} frames"),
    Stage(name="clvp", what="{batch} candidates of {n_ranked} codes ranked"),
    Stage(name="univnet", what="{n_vocoded} frames made audible"),
    Stage(name="random-voices", what="both latents of a voice"),
    Stage(
        name="sentence",
        what="{n_symbols} symbols, ultra_fast: {batch} candidates, {n_steps} steps",
        gives="sound",
    ),
)


def main() -> None:
    """Measure and print."""
    given = _arguments()
    torch.set_num_threads(given.threads)
    with tempfile.TemporaryDirectory() as place, ExitStack() as children:
        is_tiny, folder = given.folder is None, given.folder or Path(place) / "set"
        if is_tiny:
            print("a tiny set of random weights: the figures say nothing about real ones")
            write_set(folder, is_tiny=True)
        found = {name: explain_file(folder / f"{name}.pth") for name in FILES}
        limits = measure_limits(patience_s=given.patience, is_tiny=is_tiny)
        print(f"{given.threads} threads, {given.rounds} rounds; {limits.text}", flush=True)
        task = write_task(Path(place), folder, found, TINY if is_tiny else Sizes())
        sides = start(task, given.reference, n_threads=given.threads)
        for side in sides:
            children.callback(side.close)
        require_memory(folder, sides, has_sentence="sentence" in (given.stages or ["sentence"]))
        measure(sides, found, limits, TINY if is_tiny else Sizes(), given)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, nargs="?", help="with TorToiSe's files; a tiny set without it")
    parser.add_argument("--reference", help=f"a Python with tortoise-tts (default: ${REFERENCE})")
    parser.add_argument("--stages", nargs="+", choices=[stage.name for stage in STAGES], help="only these")
    parser.add_argument(
        "--rounds", type=int, default=5, help="calm ones, of each stage (default %(default)s)"
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
    return given


def write_task(place: Path, folder: Path, found: dict[str, Explained], sizes: Sizes) -> Path:
    """What both sides are told, in files of this folder."""
    torch.save(inputs_of(found, sizes), place / "inputs.pt")
    task = {
        "folder": str(folder.resolve()),
        "inputs": str(place / "inputs.pt"),
        "kwargs": {name: each.reference_kwargs for name, each in found.items()},
        "n_codes": sizes.n_codes,
        "batch": sizes.batch,
        "n_steps": sizes.n_steps,
        "least_seconds": sizes.least_seconds,
        "results": str(place),
    }
    write_json(place / "task.json", task)
    return place / "task.json"


def inputs_of(found: dict[str, Explained], sizes: Sizes) -> dict[str, Tensor]:
    """Random, each time the same."""
    generator = torch.Generator().manual_seed(0)
    configs = {name: each.config for name, each in found.items()}
    ar, diffusion, univnet = configs["autoregressive"], configs["diffusion_decoder"], configs["vocoder"]
    n_sounds = configs["clvp2"].n_codes

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    def whole(below: int, *shape: int) -> Tensor:
        return torch.randint(3, below, shape, generator=generator)

    return {
        "symbols": whole(ar.start_symbol, 1, sizes.n_symbols),
        "voice": normal(1, ar.dim) / 2,
        "two_voices": normal(1, diffusion.voice_dim) / 2,
        "codes": whole(n_sounds, 1, sizes.n_latents),
        "latents": normal(1, sizes.n_latents, diffusion.latent_dim),
        "noisy": normal(1, diffusion.n_mels, sizes.n_frames),
        "timesteps": torch.tensor([2000]),
        "candidates": whole(n_sounds, sizes.batch, sizes.n_ranked),
        "spec": normal(1, univnet.n_mels, sizes.n_vocoded) * LOUDNESS + QUIET,
        "noise": normal(1, univnet.noise_dim, sizes.n_vocoded + 10),
        "rlg_auto": normal(1, configs["rlg_auto"].dim),
        "rlg_diffuser": normal(1, configs["rlg_diffuser"].dim),
    }


def start(task: Path, reference: str | None, *, n_threads: int) -> list[Side]:
    """TorToiSe's process, where there is one, and ours."""
    threads = {"OMP_NUM_THREADS": str(n_threads), "PYTHONWARNINGS": "ignore"}
    ours = [Path(sys.executable), HERE / "tortoise_ours.py", task]
    sides = [Side("ours", ours, log=task.with_name("ours.log"), environment=threads)]
    if reference is None:
        print(f"without TorToiSe's own program: name a Python that has it, by --reference or ${REFERENCE}")
        return sides
    theirs = [Path(reference), HERE / "tortoise_theirs.py", task]
    alone = threads | {"PYTHONPATH": ""}  # our packages are not for it
    return [Side("theirs", theirs, log=task.with_name("theirs.log"), environment=alone), *sides]


def require_memory(folder: Path, sides: Sequence[Side], *, has_sentence: bool) -> None:
    """Stop before the machine does.

    Raises:
        NoRoom: What is in memory at once on all sides would fill it.
    """
    sizes = [(folder / f"{name}.pth").stat().st_size for name in FILES[:4]]
    weights = sum(sizes) if has_sentence else max(sizes)
    needed = len(sides) * (weights + BESIDE_WEIGHTS)
    if has_sentence and any(side.name == "theirs" for side in sides):
        needed += BESIDE_THEIR_SENTENCE - BESIDE_WEIGHTS
    free = free_memory("cpu")
    if free is not None and free < needed and weights > BESIDE_WEIGHTS // 2:
        raise NoRoom(
            "there is too little free memory for the networks on all sides",
            expected=f"{needed / 1e9:.0f} GB",
            found=f"{free / 1e9:.0f} GB",
            do="end other programs, or leave out the sentence, which needs most: see --stages",
        )


def measure(
    sides: Sequence[Side],
    found: dict[str, Explained],
    limits: Limits,
    sizes: Sizes,
    given: argparse.Namespace,
) -> None:
    """All stages that are asked for; a line for each kind, as soon as it is known."""
    facts: dict[str, Any] = {"limits": asdict(limits), "sizes": asdict(sizes), "stages": {}}
    n_weights = sum(
        tensor.numel()
        for name, tensor in found["autoregressive"].outline.items()
        if name.startswith(DECODERS)
    )
    for stage in STAGES:
        if given.stages and stage.name not in given.stages:
            continue
        print(f"\n{stage.name}: {stage.what.format(**asdict(sizes))}", flush=True)
        n_rounds = given.rounds if stage.is_timed else 0
        if is_decoding := stage.name.startswith("decode"):
            limits = limits.or_better(measure_limits(patience_s=given.patience, is_tiny=given.folder is None))
            facts["limits"] = asdict(limits)
            print(f"  {limits.text}", flush=True)
        held = contest(stage.name, sides, n_rounds=n_rounds, patience_s=given.patience)
        for each in held.contestants:
            line = told(each, stage, held.contestants)
            if is_decoding and each.seconds:
                line += "; " + of_the_limit(each, stage, limits, n_weights, sizes)
            print(f"  {line}", flush=True)
        peaks = [f"{side} {n / 1e9:.1f} GB" for side, n in held.peak_bytes.items() if n]
        calm = f"{held.n_calm} of {held.n_rounds} rounds were calm; " if held.n_rounds else ""
        print(f"  {calm}most memory: {', '.join(peaks) or 'not known here'}", flush=True)
        facts["stages"][stage.name] = held.facts()
        if given.into:
            write_json(given.into, facts)


def told(one: Contestant, stage: Stage, everyone: Sequence[Contestant]) -> str:
    """What is to be said about one kind of a stage."""
    if one.failure:
        return f"{one.name:<15} failed: {one.failure}"
    parts = [f"{one.name:<15} {_seconds(one)}"]
    for other in everyone:
        if one.side.name != other.side.name == "theirs" and one.seconds and other.seconds:
            ratios = one.times_faster_than(other)
            by_processor = statistics.median(other.cpu_seconds) / statistics.median(one.cpu_seconds)
            rest = f"{min(ratios):.2f} .. {max(ratios):.2f}; processor time {by_processor:.2f}"
            parts.append(f"{statistics.median(ratios):.2f} x {other.name} ({rest})")
    parts += compared(one, stage, everyone)
    if one.others:
        parts.append(f"others {sum(one.others) / len(one.others):.0%}")
    return "; ".join(parts)


def of_the_limit(one: Contestant, stage: Stage, limits: Limits, n_weights: int, sizes: Sizes) -> str:
    """How fast codes come, and how much of what is possible with so many bytes for each weight that is."""
    rows = 1 if stage.name == "decode-1" else sizes.batch
    least = limits.least_seconds(n_weights=n_weights, weight_bytes=WEIGHT_BYTES[one.kind], n_rows=rows)
    per_code = statistics.median(one.seconds) / sizes.n_codes
    return f"{rows / per_code:.1f} codes/s, {least / per_code:.0%} of the limit"


def _seconds(one: Contestant) -> str:
    if not one.seconds:
        return f"{_short(one.first_seconds)} once"
    return (
        f"{_short(statistics.median(one.seconds))} ({_short(min(one.seconds))} .. {_short(max(one.seconds))})"
    )


def _short(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.1f} ms"


def compared(one: Contestant, stage: Stage, everyone: Sequence[Contestant]) -> list[str]:
    """How the first result differs from that of float32: TorToiSe's, or the own side's of another kind."""
    if stage.gives == "sound" and one.result is not None:
        return [f"{one.result.shape[-1] / SAMPLE_RATE_HZ:.1f} s of sound"]
    is_own = one.kind != "float32"
    plain = [each for each in everyone if each.kind == "float32" and (each.side is one.side or not is_own)]
    first = plain[0] if plain else one
    if first is one or one.result is None or first.result is None:
        return []
    if stage.gives == "numbers":
        size = float(first.result.square().mean().sqrt())
        farthest = float((one.result - first.result).abs().max()) / size
        return [f"at most {farthest:.1e} of the usual size off {first.name}"]
    if stage.is_timed and not is_own:
        return []  # TorToiSe with its cache gives other codes: see the stage `same-codes`
    n = min(one.result.shape[1], first.result.shape[1])
    n_equal = int((one.result[:, :n] == first.result[:, :n]).sum())
    return [f"{n_equal} of {first.result.numel()} codes as {first.name}"]


if __name__ == "__main__":
    try:
        main()
    except RetimbreError as error:
        sys.exit(f"error: {error}")

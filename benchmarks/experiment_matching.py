"""What matching gains against equally long adaptation on real specs, by amount of speech and by steps.

    python benchmarks/experiment_matching.py                  # an hour on two cores
    python benchmarks/experiment_matching.py --minutes 1 --steps 40

For each amount: the starter text-to-spec model is tuned to it; two vocoders go on from the starter's, from
the same seed, one on produced specs and one on real ones. After every quarter of the steps all held-out
utterances are measured on what the tuned model produces.
"""

import argparse
import shutil
import sys

from on_ljspeech import RUNS, judged, recipe_of, vocoders_of

from retimbre.cli.console import Console
from retimbre.errors import RetimbreError
from retimbre.evaluate.measures import F0_ERROR, MCD, PERCEPTUAL, PERIODICITY, PESQ, Measure
from retimbre.evaluate.table import Scores
from retimbre.matching.match import CONTROL, MatchRequest, match
from retimbre.models.load import load_model
from retimbre.report.numbers import bounds, difference
from retimbre.training.material import prepare_material
from retimbre.training.train import train_stage

SHOWN = (MCD, PERCEPTUAL, PERIODICITY, F0_ERROR, PESQ)


def main() -> None:
    """Print one row per amount of speech and number of steps."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, nargs="+", default=[1.0, 2.0, 4.0])
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--tuning-steps", type=int, default=200)
    given = parser.parse_args()
    rows = [row for minutes in given.minutes for row in rows_of(minutes, given.steps, given.tuning_steps)]
    names = " | ".join(f"{measure.name}, {measure.unit}" for measure in SHOWN)
    print(f"matched − control on produced specs\n| minutes | steps | {names} |")
    print("\n".join(rows))


def rows_of(minutes: float, n_steps: int, n_tuning_steps: int) -> list[str]:
    """Tune, match, control; the differences after each quarter."""
    folder = RUNS / f"matching-{minutes:g}-min"
    shutil.rmtree(folder, ignore_errors=True)
    tuning = recipe_of(
        "ljspeech-mini-text-to-spec",
        folder,
        minutes=minutes,
        steps=n_tuning_steps,
        batch_size=4,
        precision="bf16-mixed",
        validate_every_steps=n_tuning_steps // 4,
    )
    train_stage(tuning, listener=Console())
    tuned = folder / tuning.name / "model.safetensors"
    every = n_steps // 4
    matching = recipe_of(
        "ljspeech-mini-match",
        folder,
        minutes=minutes,
        steps=n_steps,
        precision="bf16-mixed",
        validate_every_steps=every,
        checkpoint_every_steps=every,
        keep_checkpoints=4,
    )
    done = match(MatchRequest(recipe=matching, spec_model=tuned, is_forced=True), listener=Console())
    vocoders = {
        "before": load_model(matching.base or ""),
        **vocoders_of(done.run, "matched"),
        **vocoders_of(done.run / CONTROL, "control"),
    }
    material = prepare_material(matching, mel=vocoders["before"].description.mel)
    found = judged(material, vocoders, load_model(tuned))
    rows = [
        row(f"{material.duration_s / 60:.1f} | {n:,}", found, f"matched {n}", f"control {n}")
        for n in range(every, n_steps + 1, every)
    ]
    last = row(
        f"{material.duration_s / 60:.1f} | {n_steps:,}, − before", found, f"matched {n_steps}", "before"
    )
    return [*rows, last]


def row(start: str, found: Scores, ours: str, theirs: str) -> str:
    """One line of the table: every difference with its interval."""
    cells = [cell(found, measure, ours, theirs) for measure in SHOWN if measure in found.measures]
    return f"| {start} | {' | '.join(cells)} |"


def cell(found: Scores, measure: Measure, ours: str, theirs: str) -> str:
    """A difference and its interval."""
    interval = found.interval(measure, ours, theirs)
    return f"{difference(interval.mean, measure)} ({bounds(interval, measure)})"


if __name__ == "__main__":
    try:
        main()
    except RetimbreError as error:
        sys.exit(f"error: {error}")

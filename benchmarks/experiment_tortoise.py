"""Does training TorToiSe as it speaks gain anything over training it as DL-Art-School does?

    python benchmarks/make_tortoise_corpus.py CORPUS --piper PIPER     # see there
    python benchmarks/experiment_tortoise.py all CORPUS                # 3 hours on two cores, resumable
    python benchmarks/experiment_tortoise.py PHASE CORPUS [--steps-of-all 0.01]     # one of these:

dvae       A small dVAE of all voices: 512 codes, 3.3 M parameters.
base       A small autoregressive stage of all voices, 4.3 M, from scratch.
tune       It is tuned to 41 clips of a real speaker whom it has not heard, as inference computes and as
           DL-Art-School does: from the same base, for as many steps, three seeds and three folds each.
measure    Of each tuned network: what held-out speech costs it and where it stops (see tortoise_stops.py).
agreement  Do float32, bfloat16 and int8 choose the same codes?
diffusion  A small diffusion decoder of all voices, tuned to the speaker on latents of the tuned stage
           (matched) and of the base (not matched); the mel error of held-out speech.
table      All of it, with intervals.

Each phase goes on where it was stopped, and skips what is done.
"""

import argparse
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

from on_ljspeech import RUNS
from tortoise_matched import diffusion
from tortoise_phases import agree, base, dvae, measure, tune
from tortoise_plan import Plan, Steps
from tortoise_results import table

from retimbre.errors import RetimbreError

PHASES: dict[str, Callable[[Plan], None]] = {
    "dvae": dvae,
    "base": base,
    "tune": tune,
    "measure": measure,
    "agreement": agree,
    "diffusion": diffusion,
    "table": lambda plan: print(table(plan)),
}


def main() -> None:
    """Run one phase, or all of them in turn."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("phase", choices=("all", *PHASES))
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--folder", type=Path, default=RUNS / "tortoise", help="default: %(default)s")
    parser.add_argument("--steps-of-all", type=float, default=1.0, help="this share of all steps, to try it")
    given = parser.parse_args()
    plan = Plan(corpus=given.corpus, folder=given.folder, steps=share_of(Steps(), given.steps_of_all))
    for phase in PHASES if given.phase == "all" else [given.phase]:
        PHASES[phase](plan)


def share_of(steps: Steps, share: float) -> Steps:
    """Fewer steps of everything, at least four."""
    return Steps(**{one.name: max(4, round(share * getattr(steps, one.name))) for one in fields(steps)})


if __name__ == "__main__":
    try:
        main()
    except RetimbreError as error:
        sys.exit(f"error: {error}")

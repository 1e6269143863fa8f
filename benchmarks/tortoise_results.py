"""What experiment_tortoise.py has measured, as tables for the documentation."""

from collections.abc import Callable, Mapping
from statistics import median
from typing import Any

import numpy as np
from tortoise_intervals import Scored, difference, mean_of
from tortoise_plan import MODES, N_FOLDS, ONCE_EACH, TUNINGS, Mode, Plan, written
from tortoise_stops import share_near

from retimbre.evaluate.interval import paired_interval

Measured = Mapping[str, Any]  # of one utterance
Score = Callable[[Measured], float]
SCORES: Mapping[str, Score] = {  # those of a whole run
    "codes, nats": lambda one: one["codes"],
    "the stop alone, nats": lambda one: one["stop"],
    "text, nats": lambda one: one["text"],
    "ends within 2 codes, forced": lambda one: share_near(one["forced"], one["n_codes"]),
    "ends within 2 codes, greedy": lambda one: share_near(one["greedy"], one["n_codes"]),
    "ends within 2 codes, sampled": lambda one: share_near(one["sampled"], one["n_codes"]),
    "has no end, sampled": lambda one: one["sampled"].count(None) / len(one["sampled"]),
}
AT_EACH_STEP = tuple(SCORES)[:4]


def table(plan: Plan) -> str:
    """Everything that was measured so far."""
    parts = (modes_table(plan), steps_table(plan), agreement_table(plan), diffusion_table(plan))
    return "\n\n".join(part for part in parts if part)


def modes_table(plan: Plan) -> str:
    """Both ways of training after the last step, and their difference."""
    ours, theirs = (of_mode(plan, mode, plan.steps.tune) for mode in MODES)
    if not ours or not theirs:
        return ""
    before = of_base(plan)
    n_utterances = len({name for of_seed in ours.values() for name in of_seed})
    rows = [
        f"After {plan.steps.tune} steps, {n_utterances} held-out utterances, {len(ours)} seeds.",
        "",
        "| | base | inference | dlas | inference − dlas (95 %) |",
        "|---|---|---|---|---|",
    ]
    for name, score in SCORES.items():
        a, b = scored(ours, score), scored(theirs, score)
        rows.append(
            f"| {name} | {mean_of(scored(before, score)):.3f} | {mean_of(a):.3f} | {mean_of(b):.3f} "
            f"| {difference(a, b).to_text()} |"
        )
    rows.append(
        f"| codes between the true end and the forced one, median | {typical_lateness(before)} "
        f"| {typical_lateness(ours)} | {typical_lateness(theirs)} | |"
    )
    as_dlas = scored(theirs, lambda one: one["codes_as_dlas_hears"])
    own = difference(as_dlas, scored(theirs, SCORES["codes, nats"]))
    rows += [
        "",
        f"`dlas` with the voice heard as DL-Art-School hears it: {mean_of(as_dlas):.3f} nats a code, ",
    ]
    rows[-1] += f"{own.to_text()} against the way of inference."
    return "\n".join(rows)


def steps_table(plan: Plan) -> str:
    """How the difference grows."""
    every = max(1, plan.steps.tune // 4)
    rows = []
    for step in range(every, plan.steps.tune + 1, every):
        ours, theirs = (of_mode(plan, mode, step) for mode in MODES)
        if ours and theirs:
            cells = [
                f"{mean_of(a):.3f} / {mean_of(b):.3f}: {difference(a, b).to_text()}"
                for a, b in (
                    (scored(ours, SCORES[name]), scored(theirs, SCORES[name])) for name in AT_EACH_STEP
                )
            ]
            rows.append(f"| {step} | {' | '.join(cells)} |")
    head = ["| step | " + " | ".join(AT_EACH_STEP) + " |", "|---" * (1 + len(AT_EACH_STEP)) + "|"]
    return "\n".join([*head, *rows]) if rows else ""


def agreement_table(plan: Plan) -> str:
    """How often precisions choose the same."""
    found: dict[str, dict[str, Mapping[str, float]]] = {}
    for fold in range(N_FOLDS):
        for precision, of_all in (written(plan.measures(f"agreement-fold-{fold}")) or {}).items():
            found.setdefault(precision, {}).update(of_all)
    if not found:
        return ""
    names = list(next(iter(next(iter(found.values())).values())))
    rows = ["| against float32 | " + " | ".join(names) + " |", "|---" * (1 + len(names)) + "|"]
    for precision, of_all in found.items():
        cells = [percent([one[name] for one in of_all.values()]) for name in names]
        rows.append(f"| {precision} | {' | '.join(cells)} |")
    return "\n".join(rows)


def diffusion_table(plan: Plan) -> str:
    """The matched decoder against both others."""
    errors: dict[str, Mapping[str, float]] = {}
    for tuning in ONCE_EACH:
        errors |= written(plan.measures(f"diffusion-seed-{tuning.seed}-fold-{tuning.fold}")) or {}
    if not errors:
        return ""
    of = {name: [one[name] for one in errors.values()] for name in next(iter(errors.values()))}
    rows = ["| decoder | mel error | matched − this (95 %) |", "|---|---|---|"]
    for name, values in of.items():
        gain = paired_interval(of["matched"], values)
        shown = "" if name == "matched" else f"{gain.mean:+.4f} ({gain.low:+.4f} to {gain.high:+.4f})"
        rows.append(f"| {name} | {np.mean(values):.4f} | {shown} |")
    return "\n".join([f"{len(errors)} held-out utterances.", "", *rows])


def of_mode(plan: Plan, mode: Mode, step: int) -> dict[int, dict[str, Measured]]:
    """Seed -> utterance -> what was measured; every fold adds what it holds out."""
    found: dict[int, dict[str, Measured]] = {}
    for tuning in (one for one in TUNINGS if one.mode == mode):
        if of_run := written(plan.measures(f"{tuning.name}-step-{step}")):
            found.setdefault(tuning.seed, {}).update(of_run)
    return found


def of_base(plan: Plan) -> dict[int, dict[str, Measured]]:
    """The same of the base, which has one seed."""
    found: dict[str, Measured] = {}
    for fold in range(N_FOLDS):
        found |= written(plan.measures(f"base-fold-{fold}")) or {}
    return {0: found}


def scored(measured: Mapping[int, Mapping[str, Measured]], score: Score) -> Scored:
    """One number of each utterance."""
    return {seed: {name: score(one) for name, one in of_seed.items()} for seed, of_seed in measured.items()}


def typical_lateness(measured: Mapping[int, Mapping[str, Measured]]) -> str:
    """How many codes after the true end the forced one comes, in the middle of all; many have none."""
    late = [
        float("inf") if one["forced"][0] is None else one["forced"][0] - one["n_codes"]
        for of_seed in measured.values()
        for one in of_seed.values()
    ]
    return f"{median(late):+g}" if late else ""


def percent(shares: list[float]) -> str:
    """The mean share with its interval over utterances."""
    found = paired_interval(shares, [0.0] * len(shares))
    return f"{100 * found.mean:.1f} % ({100 * found.low:.1f} to {100 * found.high:.1f})"

"""Recordings -> training material on disk, on all cores; only what has changed is made again."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from retimbre.audio.mel import MelSpec
from retimbre.data.features import PrepareOptions
from retimbre.data.manifest import write_filelist
from retimbre.data.one_utterance import STEPS, Job, Outcome, Step, if_current, prepare_one
from retimbre.data.store import Store
from retimbre.data.utterance import Utterance
from retimbre.data.writing import sweep, write_text
from retimbre.errors import DataError
from retimbre.jobs.local import map_items, n_cores

__all__ = ["LeftOut", "PrepareOptions", "Prepared", "Step", "prepare", "write_left_out"]

ITEMS_PER_WORKER = 60  # a new process takes about as long to start as these take to prepare
SHOW_REASONS = 4


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """An utterance that is not trained on. What was measured stands in brackets at the end of the reason."""

    utterance: Utterance
    reason: str


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """What came of it.

    Args:
        n_done: Utterances for which each step was computed.
        n_reused: Utterances for which it was there already.
        n_mixed: Kept recordings with two channels, mixed to one.
        n_clipped: Kept recordings of which a little is clipped.
        audio_s: How long the kept recordings sound together.
        elapsed_s: How long preparing took.
    """

    kept: list[Utterance]
    left_out: list[LeftOut]
    n_done: dict[str, int]
    n_reused: dict[str, int]
    n_mixed: int
    n_clipped: int
    audio_s: float
    elapsed_s: float


def prepare(
    utterances: Sequence[Utterance],
    recordings: Path,
    store: Store,
    *,
    mel: MelSpec,
    options: PrepareOptions | None = None,
    steps: Sequence[str] = STEPS,
    n_workers: int | None = None,
    overwrite: bool = False,
    on_progress: Callable[[str, int, int], None] | None = None,
) -> Prepared:
    """Make the training material of `utterances` in `store`. Whatever is wrong with one never stops the rest.

    Args:
        recordings: Folder with `<basename>.wav` (or flac, ogg, mp3), itself or in its folder `wavs`.
        steps: Some of `STEPS`, in any order. Without `audio`, from the recordings that are prepared already.
        n_workers: Processes; None takes all cores, 1 stays in this process. The bytes are the same.
        overwrite: Make everything again.
        on_progress: Called with a basename, how many are finished, and how many there are.

    Raises:
        DataError: if nothing is left to train on, with the commonest reasons.
    """
    started = time.monotonic()
    ordered = _in_order(steps)
    job = Job(
        recordings=Path(recordings),
        store=store,
        mel=mel,
        options=options or PrepareOptions(),
        steps=ordered,
        overwrite=overwrite,
    )
    _require_sensible(job, utterances)
    sweep(store.root)
    outcomes = _outcomes(job, utterances, n_workers, on_progress or (lambda basename, n_done, n_all: None))
    prepared = _summary(outcomes, ordered, mel, time.monotonic() - started)
    _write_lists(job, prepared)
    if not prepared.kept:
        raise _nothing_left(prepared, store)
    return prepared


def _outcomes(
    job: Job,
    utterances: Sequence[Utterance],
    n_workers: int | None,
    on_progress: Callable[[str, int, int], None],
) -> list[Outcome]:
    """One outcome per utterance, in order. What is current is found without starting processes."""
    found: dict[str, Outcome] = {}
    for utterance in utterances:
        if not job.overwrite and (outcome := if_current(job, utterance)):
            found[utterance.stem] = outcome
            on_progress(utterance.basename, len(found), len(utterances))
    stale = [utterance for utterance in utterances if utterance.stem not in found]
    wanted = n_cores() if n_workers is None else n_workers
    n_useful = max(1, min(wanted, len(stale) // ITEMS_PER_WORKER))
    for outcome in map_items(partial(prepare_one, job), stale, n_workers=n_useful):
        found[outcome.utterance.stem] = outcome
        on_progress(outcome.utterance.basename, len(found), len(utterances))
    return [found[utterance.stem] for utterance in utterances]


def _in_order(steps: Sequence[str]) -> tuple[Step, ...]:
    if unknown := [step for step in steps if step not in STEPS]:
        raise DataError(
            f"there is no step '{unknown[0]}'", expected=f"some of {', '.join(STEPS)}", found=unknown[0]
        )
    return tuple(step for step in STEPS if step in steps)


def _require_sensible(job: Job, utterances: Sequence[Utterance]) -> None:
    if not utterances or not job.steps:
        missing = "utterances" if not utterances else "steps"
        raise DataError("there is nothing to prepare", expected=missing, found="none")
    if "audio" in job.steps and not job.recordings.is_dir():
        raise DataError(
            f"the recordings are not in {job.recordings}",
            expected="a folder",
            found="a file" if job.recordings.exists() else "nothing of that name",
            do="give the folder in which <basename>.wav lies",
        )
    twice = [stem for stem, n in Counter(u.stem for u in utterances).items() if n > 1]
    if twice:
        raise DataError("two utterances would write the same files", found=", ".join(twice[:3]))


def _summary(outcomes: list[Outcome], steps: tuple[Step, ...], mel: MelSpec, elapsed_s: float) -> Prepared:
    kept = [outcome.facts for outcome in outcomes if outcome.facts]
    return Prepared(
        kept=[outcome.utterance for outcome in outcomes if outcome.reason is None],
        left_out=[
            LeftOut(utterance=outcome.utterance, reason=outcome.reason)
            for outcome in outcomes
            if outcome.reason is not None
        ],
        n_done={step: sum(step in outcome.done for outcome in outcomes) for step in steps},
        n_reused={step: sum(step in outcome.reused for outcome in outcomes) for step in steps},
        n_mixed=sum(facts.is_mixed for facts in kept),
        n_clipped=sum(facts.clipped_share > 0 for facts in kept),
        audio_s=sum(facts.n_samples for facts in kept) / mel.sample_rate_hz,
        elapsed_s=elapsed_s,
    )


def _write_lists(job: Job, prepared: Prepared) -> None:
    write_left_out(job.store, prepared.left_out)
    if not prepared.kept:
        return
    write_filelist(job.store.filelist_path(), prepared.kept)
    how = {
        "mel": job.mel.to_dict(),
        "options": asdict(job.options),
        "steps": list(job.steps),
        "n_kept": len(prepared.kept),
        "n_left_out": len(prepared.left_out),
        "n_mixed": prepared.n_mixed,
        "n_clipped": prepared.n_clipped,
        "audio_s": round(prepared.audio_s, 3),
    }
    job.store.write_json(job.store.prepared_path, how)


def write_left_out(store: Store, left_out: Sequence[LeftOut]) -> None:
    """List what is not trained on, and why."""
    rows = [f"{left.utterance.basename}\t{_one_line(left.reason)}\n" for left in left_out]
    write_text(store.left_out_path, "basename\treason\n" + "".join(rows))


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _nothing_left(prepared: Prepared, store: Store) -> DataError:
    kinds = Counter(left.reason.partition(" (")[0] for left in prepared.left_out)
    shown = "; ".join(f"{n} x {kind}" for kind, n in kinds.most_common(SHOW_REASONS))
    return DataError(
        f"none of {len(prepared.left_out)} utterances can be used",
        expected="at least one good recording",
        found=shown,
        do=f"look at {store.left_out_path}",
    )

"""Recordings -> training material on disk, on all cores; only what has changed is made again."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
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

__all__ = [
    "LeftOut",
    "PrepareOptions",
    "Prepared",
    "RecordedSet",
    "Step",
    "prepare",
    "prepare_sets",
    "write_left_out",
]

ITEMS_PER_WORKER = 60  # a new process takes about as long to start as these take to prepare
SHOW_REASONS = 4


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """An utterance that is not trained on. What was measured stands in brackets at the end of the reason."""

    utterance: Utterance
    reason: str


@dataclass(frozen=True, kw_only=True)
class RecordedSet:
    """Utterances whose recordings lie together and are cleaned alike.

    Args:
        recordings: Folder with `<basename>.wav` (or flac, ogg, mp3), itself or in its folder `wavs`.
        are_cleaned: `recordings` is a folder that EveryVoice prepared: its audio is taken as it is.
    """

    utterances: Sequence[Utterance]
    recordings: Path
    options: PrepareOptions = field(default_factory=PrepareOptions)
    are_cleaned: bool = False


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
    output_mel: MelSpec | None = None,
    on_progress: Callable[[str, int, int], None] | None = None,
) -> Prepared:
    """Make the training material of `utterances` in `store`. Whatever is wrong with one never stops the rest.

    Args:
        recordings: Folder with `<basename>.wav` (or flac, ogg, mp3), itself or in its folder `wavs`.
        steps: Some of `STEPS`, in any order. Without `audio`, from the recordings that are prepared already.
        n_workers: Processes; None takes all cores, 1 stays in this process. The bytes are the same.
        overwrite: Make everything again.
        output_mel: Of a vocoder's output, where that has a higher rate: the audio is kept at both.
        on_progress: Called with a basename, how many are finished, and how many there are.

    Raises:
        DataError: if nothing is left to train on, with the commonest reasons.
    """
    one = RecordedSet(utterances=utterances, recordings=Path(recordings), options=options or PrepareOptions())
    return prepare_sets(
        [one],
        store,
        mel=mel,
        steps=steps,
        n_workers=n_workers,
        overwrite=overwrite,
        output_mel=output_mel,
        on_progress=on_progress,
    )


def prepare_sets(
    sets: Sequence[RecordedSet],
    store: Store,
    *,
    mel: MelSpec,
    steps: Sequence[str] = STEPS,
    n_workers: int | None = None,
    overwrite: bool = False,
    output_mel: MelSpec | None = None,
    on_progress: Callable[[str, int, int], None] | None = None,
) -> Prepared:
    """`prepare` for utterances of several sets at once, in their order."""
    started = time.monotonic()
    ordered = _in_order(steps)
    common = Job(
        recordings=store.root,
        store=store,
        mel=mel,
        options=PrepareOptions(),
        steps=ordered,
        overwrite=overwrite,
        output_mel=output_mel,
    )
    jobs = [_job(one, common) for one in sets]
    utterances = [utterance for one in sets for utterance in one.utterances]
    _require_sensible(jobs, utterances)
    sweep(store.root)
    tell = on_progress or (lambda basename, n_done, n_all: None)
    outcomes: list[Outcome] = []
    for job, one in zip(jobs, sets, strict=True):
        n_before = len(outcomes)

        def of_all(basename: str, n_done: int, n_all: int, n_before: int = n_before) -> None:
            tell(basename, n_before + n_done, len(utterances))

        outcomes += _outcomes(job, one.utterances, n_workers, of_all)
    prepared = _summary(outcomes, ordered, mel, time.monotonic() - started)
    _write_lists(jobs, prepared)
    if not prepared.kept:
        raise _nothing_left(prepared, store)
    return prepared


def _job(one: RecordedSet, common: Job) -> Job:
    return replace(common, recordings=one.recordings, options=one.options, are_cleaned=one.are_cleaned)


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


def _require_sensible(jobs: Sequence[Job], utterances: Sequence[Utterance]) -> None:
    if not utterances or not jobs[0].steps:
        missing = "utterances" if not utterances else "steps"
        raise DataError("there is nothing to prepare", expected=missing, found="none")
    for job in jobs:
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


def _write_lists(jobs: Sequence[Job], prepared: Prepared) -> None:
    job = jobs[0]
    write_left_out(job.store, prepared.left_out)
    if not prepared.kept:
        return
    write_filelist(job.store.filelist_path(), prepared.kept)
    how = {
        "mel": job.mel.to_dict(),
        **({"output_sample_rate_hz": job.output_mel.sample_rate_hz} if job.output_mel else {}),
        "options": asdict(job.options),
        **({"options_of_more": [asdict(one.options) for one in jobs[1:]]} if jobs[1:] else {}),
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

"""Recipe -> run folder -> result: start, resume, finish.

runs/<name>/
  recipe.yaml        everything resolved: running it again gives the same run
  lock               held by the process that trains; left behind, it means nothing
  lineage.json       base and data by hash, contact
  checkpoints/…      see state.py
  model.safetensors  the best so far by the validation score, ready to use; its description beside it as JSON
  metrics.jsonl      one line per logged step; TensorBoard events beside it
"""

import json
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import isnan
from pathlib import Path
from statistics import median
from types import FrameType
from typing import TYPE_CHECKING, Any

import torch
from torch.optim import Optimizer

from retimbre.checkpoint.write import write_json, write_text
from retimbre.errors import RunError
from retimbre.jobs.listener import Listener, Silent
from retimbre.jobs.lock import only_process
from retimbre.nn.lora import Adapters
from retimbre.recipe.read import read_recipe, write_recipe
from retimbre.recipe.recipe import Recipe
from retimbre.recipe.training import Training
from retimbre.training.batching import BatchOrder, batch_loader
from retimbre.training.fabric import make_fabric
from retimbre.training.job import Job
from retimbre.training.journal import Journal
from retimbre.training.loop import train_steps
from retimbre.training.objective import Progress
from retimbre.training.optimisers import optimiser_of
from retimbre.training.state import (
    RunState,
    checkpoint_bytes,
    complete_checkpoints,
    disk_errors_told,
    forget_older,
    require_room,
    restore_state,
    save_state,
    sweep,
)

if TYPE_CHECKING:
    from lightning_fabric import Fabric

LOCK = "lock"


@dataclass(frozen=True, kw_only=True)
class Finished:
    """How a run ended."""

    run: Path
    progress: Progress
    was_interrupted: bool

    @property
    def model(self) -> Path:
        """The kept best, ready to use."""
        return self.run / "model.safetensors"


@dataclass
class _Live:
    """What belongs together while a run is going on."""

    run: Path
    job: Job
    settings: Training
    fabric: "Fabric"
    state: RunState
    journal: Journal
    listener: Listener
    progress: Progress
    stop_asked: bool = False


def run_folder(recipe: Recipe) -> Path:
    """Where this recipe's run lives."""
    return recipe.runs / recipe.name


def require_unused(recipe: Recipe) -> None:
    """No run writes into another run's folder."""
    folder = run_folder(recipe)
    names = [path.name for path in folder.iterdir()] if folder.exists() else []
    if any(name != LOCK and not name.endswith(".part") for name in names):
        raise RunError(
            f"there is a run in {folder} already",
            do=f"go on with it by --resume, or name a new one: -c name={recipe.name}-2",
        )


def start(recipe: Recipe, job: Job, *, listener: Listener | None = None, device: str = "auto") -> Finished:
    """A new run in a new folder."""
    require_unused(recipe)
    folder, settings = run_folder(recipe), recipe.training
    folder.mkdir(parents=True, exist_ok=True)
    fabric, state = _prepare(job, settings, device)
    require_room(folder, (settings.keep_checkpoints + 2) * checkpoint_bytes(state))
    with only_process(folder / LOCK, f"the run in {folder}"):
        require_unused(recipe)  # another process may have begun it a moment ago
        sweep(folder)
        write_text(folder / "recipe.yaml", write_recipe(recipe.resolved_against(Path.cwd())))
        write_json(folder / "lineage.json", dict(job.description.lineage))
        journal = Journal(folder)
        progress = _begun(job, state)
        return _go(_Live(folder, job, settings, fabric, state, journal, listener or Silent(), progress))


def resume(recipe: Recipe, job: Job, *, listener: Listener | None = None, device: str = "auto") -> Finished:
    """The same run, from its newest whole checkpoint; from its start if it never came to one."""
    folder = run_folder(recipe)
    stored_recipe(folder)
    with only_process(folder / LOCK, f"the run in {folder}"):
        _require_same_material(recipe, job)
        _require_same_base(folder, job)
        _require_same_files(folder, job)
        return _go(_resumed(recipe, job, listener or Silent(), device))


def _resumed(recipe: Recipe, job: Job, listener: Listener, device: str) -> _Live:
    folder, settings = run_folder(recipe), recipe.training
    sweep(folder)
    if not (folder / "lineage.json").exists():  # it was killed in its first moments
        write_json(folder / "lineage.json", dict(job.description.lineage))
    fabric, state = _prepare(job, settings, device)
    has_checkpoint = bool(complete_checkpoints(folder))
    progress, notes = restore_state(folder, state) if has_checkpoint else (_begun(job, state), [])
    forget_older(folder, progress.step, keep=settings.keep_checkpoints)
    for note in notes:
        listener.say("Checkpoint", note)
    listener.say("Resumed", f"at step {progress.step:,} of {settings.steps:,}")
    journal = Journal(folder, from_step=progress.step if has_checkpoint else -1)
    _keep_recipe(recipe, journal, progress.step)
    return _Live(folder, job, settings, fabric, state, journal, listener, progress)


def _require_same_material(recipe: Recipe, job: Job) -> None:
    """Another list, or other recordings of it, would be split and ordered anew in the middle of a run."""
    path = run_folder(recipe) / "lineage.json"
    begun = json.loads(path.read_text(encoding="utf-8")).get("data") if path.is_file() else None
    asked = job.description.lineage.get("data")
    if not begun or not asked:
        return
    changed = None
    if begun["sha256"] != asked["sha256"]:
        changed = f"another list {recipe.data.filelist}"
    elif begun.get("other_lists", []) != asked.get("other_lists", []):
        names = [one["list"] for one in asked.get("other_lists", [])]
        changed = f"other contents of the lists {', '.join(names) or 'none'}"
    elif begun["utterances"] != asked["utterances"]:
        changed = f"{asked['utterances']} utterances to train on instead of {begun['utterances']}"
    if changed:
        raise RunError(
            f"the run in {path.parent} was begun with other recordings",
            found=changed,
            do="put back what it was begun with, or name a new run (-c name=…)",
        )


def _require_same_base(folder: Path, job: Job) -> None:
    """Small matrices alone are in the checkpoints: beside another base they mean nothing."""
    if not any(isinstance(part, Adapters) for part in job.objective.parts().values()):
        return
    path = folder / "lineage.json"
    begun = json.loads(path.read_text(encoding="utf-8")).get("base") if path.is_file() else None
    asked = job.description.lineage.get("base")
    if begun and asked and begun["sha256"] != asked["sha256"]:
        raise RunError(
            f"the run in {folder} learns small matrices beside another base",
            expected=f"{begun['file']} (sha256 {begun['sha256'][:12]}…)",
            found=f"{asked['file']} (sha256 {asked['sha256'][:12]}…)",
            do="put back the base that it was begun with, or name a new run (-c name=…)",
        )


def _require_same_files(folder: Path, job: Job) -> None:
    """What stands beside a stage decides what it learns from: codes, latents, specs."""
    path = folder / "lineage.json"
    begun = json.loads(path.read_text(encoding="utf-8")).get("learnt_with") if path.is_file() else None
    asked = job.description.lineage.get("learnt_with") or {}
    for role, was in (begun or {}).items():
        now = asked.get(role)
        if now and now["sha256"] != was["sha256"]:
            raise RunError(
                f"the run in {folder} was begun with another {role}",
                expected=f"{was['file']} (sha256 {was['sha256'][:12]}…)",
                found=f"{now['file']} (sha256 {now['sha256'][:12]}…)",
                do="put back what it was begun with, or name a new run (-c name=…)",
            )


def _keep_recipe(recipe: Recipe, journal: Journal, step: int) -> None:
    """Store the recipe that the run goes on with; what has changed in its training stands in the journal."""
    path = run_folder(recipe) / "recipe.yaml"
    before, now = read_recipe(path), recipe.resolved_against(Path.cwd())
    if now == before:
        return
    old, new = before.training.model_dump(mode="json"), now.training.model_dump(mode="json")
    changed = {name: [old[name], new[name]] for name in new if old[name] != new[name]}
    with disk_errors_told(journal.run, "the changed recipe"):
        if changed:
            line = {"step": step, "kind": "resumed", "changed": changed}
            with journal.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        write_text(path, write_recipe(now))


def seconds_per_step(recipe: Recipe, job: Job, *, n_steps: int = 5, device: str = "auto") -> float:
    """What one step costs here, measured; nothing is written and the job's weights are spent."""
    settings = recipe.training.model_copy(update={"steps": n_steps + 1})
    fabric = make_fabric(precision=settings.precision, accelerator=device)
    seconds: list[float] = []

    def note(progress: Progress, _: Mapping[str, float]) -> Progress:
        seconds.append(progress.seconds - sum(seconds))
        return progress

    optimisers = _ready(fabric, job, settings)
    batches = _batches(job, settings, 0)
    train_steps(fabric, job.objective, optimisers, batches, Progress(), settings, after_step=note)
    return median(seconds[1:])  # the first one also warms up


def _prepare(job: Job, settings: Training, device: str) -> tuple["Fabric", RunState]:
    fabric = make_fabric(precision=settings.precision, accelerator=device)
    optimisers = _ready(fabric, job, settings)
    return fabric, RunState(job.objective.parts(), optimisers)


def _ready(fabric: "Fabric", job: Job, settings: Training) -> dict[str, Optimizer]:
    """Modules on their device; one optimiser per turn over the tensors that move."""
    for module in (*job.beside, *job.objective.parts().values()):
        module.to(fabric.device)
    return {turn.name: optimiser_of(turn, settings.optimiser) for turn in job.objective.turns()}


def _begun(job: Job, state: RunState) -> Progress:
    """Step 0, or where the training of the base stands that this one goes on with."""
    if job.beginning is None:
        return Progress()
    for turn in job.objective.turns():
        job.beginning.fill(state.optimisers[turn.name], turn)
    return Progress(step=job.beginning.step)


def _batches(job: Job, settings: Training, position: int) -> Iterator[Any]:
    order = BatchOrder(job.lengths, settings.batch_size, seed=settings.seed, position=position)
    return batch_loader(job.dataset, order, job.collate, n_workers=settings.n_workers)


def _go(live: _Live) -> Finished:
    """Train, measuring and saving on the way; Ctrl-C and SIGTERM save first."""
    generator_state = torch.get_rng_state()
    batches = _batches(live.job, live.settings, live.progress.step)
    torch.set_rng_state(generator_state)  # whatever starting the loader drew
    with _stop_on_signal(live):
        if live.progress.best_score is None:  # at the very beginning
            _validate(live)
        if _has_overtrained(live.progress, live.settings):  # it was resumed after its end
            batches = iter(())
        live.progress = train_steps(
            live.fabric,
            live.job.objective,
            live.state.optimisers,
            batches,
            live.progress,
            live.settings,
            after_step=lambda progress, logged: _after_step(live, progress, logged),
            is_stopping=lambda: live.stop_asked or _has_overtrained(live.progress, live.settings),
        )
        is_over = _has_overtrained(live.progress, live.settings)
        was_interrupted = live.progress.step < live.settings.steps and not is_over
        if was_interrupted:
            save_state(live.run, live.state, live.progress, keep=live.settings.keep_checkpoints)
    live.journal.close()
    if is_over:
        live.listener.say(
            "Over-training",
            f"no better validation in {live.settings.patience} of them: stopped at step "
            f"{live.progress.step:,}, the weights of step {live.progress.best_step:,} are kept",
        )
    if was_interrupted:
        live.listener.say(
            "Stopped", f"at step {live.progress.step:,}; everything is saved, go on with --resume"
        )
    return Finished(run=live.run, progress=live.progress, was_interrupted=was_interrupted)


def _after_step(live: _Live, progress: Progress, logged: Mapping[str, float]) -> Progress:
    settings, step = live.settings, progress.step
    live.progress = progress
    is_last = step >= settings.steps
    if step % settings.log_every_steps == 0 or is_last:
        live.journal.write(step, logged, kind="training")
    if step % settings.validate_every_steps == 0 or is_last:
        _validate(live)
        is_last = is_last or _has_overtrained(live.progress, settings)
    if step % settings.checkpoint_every_steps == 0 or is_last:
        save_state(live.run, live.state, live.progress, keep=settings.keep_checkpoints)
    live.listener.progress("Training", step, settings.steps, _note(live, logged))
    return live.progress


def _has_overtrained(progress: Progress, settings: Training) -> bool:
    """Has validation found nothing better for as long as the recipe waits?"""
    if not settings.patience or progress.best_step is None:
        return False
    return progress.step - progress.best_step >= settings.patience * settings.validate_every_steps


def _note(live: _Live, logged: Mapping[str, float]) -> str:
    shown = ", ".join(f"{name} {logged[name]:.3f}" for name in live.job.shown if name in logged)
    best = live.progress.best_score
    return shown + (
        f"; validation {best:.3f} (best, at {live.progress.best_step:,})" if best is not None else ""
    )


def _validate(live: _Live) -> None:
    """Validation measures; the weights are kept if they are the best so far."""
    devices = list(range(torch.cuda.device_count()))
    with torch.random.fork_rng(devices=devices), torch.no_grad():
        verdict = live.job.objective.validate(live.progress)
    step, best = live.progress.step, live.progress.best_score
    live.journal.write(step, {"score": verdict.score, **verdict.measures}, kind="validation")
    live.journal.show(step, verdict)
    if best is None or isnan(best) or verdict.score < best:
        live.progress = replace(live.progress, best_score=verdict.score, best_step=step)
        with disk_errors_told(live.run, f"the weights of step {step}, the best so far,"):
            live.job.keep(live.run / "model.safetensors", step)


@contextmanager
def _stop_on_signal(live: _Live) -> Iterator[None]:
    """The first Ctrl-C (or SIGTERM) ends the run after the current step; the second one ends it at once."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals reach the main thread only
        return

    def ask(number: int, frame: FrameType | None) -> None:
        if live.stop_asked:
            raise KeyboardInterrupt
        live.stop_asked = True
        live.listener.say(
            "Stopping", "after this step, saving first (again: at once, from the last checkpoint)"
        )

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def stored_recipe(folder: Path) -> Path:
    """The recipe that a run was started with, or an error if there is no such run."""
    path = folder / "recipe.yaml"
    if not path.is_file():
        raise RunError(f"there is no run to resume in {folder}", do="start it without --resume")
    return path

"""Everything a run is at one step: saved whole, restored exactly.

    checkpoints/step-000500/
        model.safetensors    the weights of every part, as `part.tensor`
        state.safetensors    optimiser states and the states of the random generators
        state.json           progress, and the plain values of the optimisers
        manifest.json        SHA-256 of the three; a folder without a true manifest does not exist for us
    latest                   the name of the newest complete checkpoint; changed last

Learning rates are functions of the step, and the order of the data is a function of seed and position, so
neither has a state of its own.
"""

import errno
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from retimbre.checkpoint.digest import sha256_of
from retimbre.checkpoint.fill import load_weights
from retimbre.checkpoint.write import force_to_disk, write_text
from retimbre.errors import CheckpointError, NoRoom, RunError
from retimbre.training.objective import Progress

FILES = ("model.safetensors", "state.safetensors", "state.json")


@dataclass(frozen=True)
class RunState:
    """The live objects that a checkpoint is taken of."""

    parts: Mapping[str, nn.Module]
    optimisers: Mapping[str, Optimizer]


def save_state(run: Path, state: RunState, progress: Progress, *, keep: int) -> Path:
    """Write a complete checkpoint into a temporary folder, rename it, then let `latest` name it."""
    final = run / "checkpoints" / f"step-{progress.step:06d}"
    with disk_errors_told(run, f"the checkpoint of step {progress.step}"):
        # A run that was stopped and went on comes to the same step with the same weights.
        if not final.exists() or _damage(final):
            _write_whole(final, state, progress)
        write_text(run / "latest", final.name + "\n")
    forget_older(run, progress.step, keep=keep)
    return final


@contextmanager
def disk_errors_told(run: Path, what: str) -> Iterator[None]:
    """Let a disk that is full, or that refuses to be written, end in one line about `what`."""
    try:
        yield
    except (OSError, SafetensorError, CheckpointError) as error:
        if not _is_full(error):
            raise RunError(f"{what} cannot be written: {error}") from error
        raise NoRoom(
            f"the disk is full: {what} could not be written",
            found=f"{shutil.disk_usage(run).free / 1e6:,.0f} MB free in {run}",
            do="free some space and go on with --resume; earlier checkpoints are whole",
        ) from error


def _is_full(error: BaseException) -> bool:
    numbers = {getattr(e, "errno", None) for e in (error, error.__cause__)}
    return bool(numbers & {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}) or "No space" in str(error)


def _write_whole(final: Path, state: RunState, progress: Progress) -> None:
    temporary = final.with_name(f".{final.name}.part")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir(parents=True)
        _write_files(temporary, state, progress)
        shutil.rmtree(final, ignore_errors=True)  # damaged, or not there
        temporary.replace(final)
        force_to_disk(final.parent)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def restore_state(run: Path, state: RunState) -> tuple[Progress, list[str]]:
    """Put the newest whole checkpoint back; where it stands, and what was found damaged on the way."""
    notes: list[str] = []
    for folder in reversed(complete_checkpoints(run)):
        damage = _damage(folder)
        if damage:
            notes.append(f"{folder.name} is damaged ({damage}): the one before it is used")
            continue
        progress = _read_files(folder, state)
        write_text(run / "latest", folder.name + "\n")
        return progress, notes
    raise RunError(
        f"there is no whole checkpoint in {run}/checkpoints",
        found="; ".join(note.partition(":")[0] for note in notes) or None,
        do="start a new run (-c name=…)",
    )


def complete_checkpoints(run: Path) -> list[Path]:
    """Checkpoint folders that were finished, oldest first."""
    folders = (run / "checkpoints").glob("step-*")
    return sorted((f for f in folders if (f / "manifest.json").is_file()), key=_step_of)


def forget_older(run: Path, step: int, *, keep: int) -> None:
    """Remove all checkpoints up to `step` but the newest `keep`."""
    for old in [f for f in complete_checkpoints(run) if _step_of(f) <= step][:-keep]:
        leaving = old.with_name(f".{old.name}.part")  # so that half of it is never taken for a checkpoint
        shutil.rmtree(leaving, ignore_errors=True)
        old.replace(leaving)
        shutil.rmtree(leaving)


def sweep(run: Path) -> None:
    """Remove the beginnings of files that a killed process has left behind."""
    for part in [*run.glob(".*.part"), *(run / "checkpoints").glob(".*.part")]:
        if part.is_dir():
            shutil.rmtree(part)
        else:
            part.unlink()


def _step_of(folder: Path) -> int:
    return int(folder.name.removeprefix("step-"))


def checkpoint_bytes(state: RunState) -> int:
    """How much room one checkpoint takes: the weights, and two averages for each that moves."""
    tensors = [t for part in state.parts.values() for t in part.state_dict().values()]
    moving = [p for o in state.optimisers.values() for g in o.param_groups for p in g["params"]]
    return int(sum(t.nbytes for t in tensors) + 2 * sum(p.nbytes for p in moving)) + 1_000_000


def require_room(folder: Path, needed_bytes: int) -> None:
    """Refuse to start where the run's checkpoints cannot all be written."""
    free = shutil.disk_usage(folder).free
    if free < needed_bytes:
        raise NoRoom(
            f"the disk has too little room for this run in {folder}",
            expected=f"{needed_bytes / 1e6:,.0f} MB",
            found=f"{free / 1e6:,.0f} MB",
            do="free some space, or keep fewer checkpoints (-c training.keep_checkpoints=1)",
        )


def _write_files(folder: Path, state: RunState, progress: Progress) -> None:
    weights = {
        f"{part}.{name}": t for part, module in state.parts.items() for name, t in module.state_dict().items()
    }
    tensors, values = _optimiser_contents(state.optimisers)
    tensors |= _generator_states()
    _save(folder / "model.safetensors", weights)
    _save(folder / "state.safetensors", tensors)
    content = {"progress": asdict(progress), "optimisers": values}
    (folder / "state.json").write_text(json.dumps(content, indent=1), encoding="utf-8")
    manifest = {"step": progress.step, "sha256": {name: sha256_of(folder / name) for name in FILES}}
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1), encoding="utf-8")
    for name in (*FILES, "manifest.json", "."):
        force_to_disk(folder / name)


def _save(path: Path, tensors: Mapping[str, Tensor]) -> None:
    save_file({name: t.detach().cpu().contiguous().clone() for name, t in tensors.items()}, path)


def _read_files(folder: Path, state: RunState) -> Progress:
    content = json.loads((folder / "state.json").read_text(encoding="utf-8"))
    progress = _progress(content.get("progress"), folder)
    weights = load_file(folder / "model.safetensors")
    for part, module in state.parts.items():
        prefix = f"{part}."
        load_weights(module, {n[len(prefix) :]: t for n, t in weights.items() if n.startswith(prefix)})
    tensors = load_file(folder / "state.safetensors")
    _fill_optimisers(state.optimisers, tensors, content["optimisers"])
    _restore_generators(tensors)
    return progress


def _progress(values: dict[str, Any] | None, folder: Path) -> Progress:
    expected = [field.name for field in fields(Progress)]
    found = list(values or {})
    if values is None or set(found) != set(expected):
        raise RunError(
            f"{folder}/state.json was written by another version of Retimbre",
            expected=f"progress as {', '.join(expected)}",
            found=", ".join(found) or "none",
            do="go on with the version that began the run (lineage.json names it), or start a new run "
            "(-c name=…)",
        )
    return Progress(**values)


def _optimiser_contents(optimisers: Mapping[str, Optimizer]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    tensors: dict[str, Tensor] = {}
    values: dict[str, Any] = {}
    for name, optimiser in optimisers.items():
        content = optimiser.state_dict()
        for index, slots in content["state"].items():
            for slot, value in slots.items():
                tensors[f"optimiser.{name}.{index}.{slot}"] = torch.as_tensor(value)
        values[name] = content["param_groups"]
    return tensors, values


def _fill_optimisers(
    optimisers: Mapping[str, Optimizer], tensors: Mapping[str, Tensor], values: Mapping[str, Any]
) -> None:
    for name, optimiser in optimisers.items():
        slots: dict[int, dict[str, Tensor]] = {}
        for key, tensor in tensors.items():
            kind, *rest = key.split(".")
            if kind == "optimiser" and rest[0] == name:
                slots.setdefault(int(rest[1]), {})[rest[2]] = tensor
        optimiser.load_state_dict({"state": slots, "param_groups": values[name]})


def _generator_states() -> dict[str, Tensor]:
    """Torch's own generators are the only ones that training draws from."""
    states = {"generator.cpu": torch.get_rng_state()}
    for index, state in enumerate(torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []):
        states[f"generator.cuda.{index}"] = state
    return states


def _restore_generators(tensors: Mapping[str, Tensor]) -> None:
    torch.set_rng_state(tensors["generator.cpu"])
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            if f"generator.cuda.{index}" in tensors:
                torch.cuda.set_rng_state(tensors[f"generator.cuda.{index}"], index)


def _damage(folder: Path) -> str | None:
    """Which file of a checkpoint is not what was written, if any."""
    try:
        expected = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["sha256"]
        wrong = [name for name in FILES if sha256_of(folder / name) != expected[name]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"{type(error).__name__}: {error}"
    return f"{', '.join(wrong)} changed since it was written" if wrong else None

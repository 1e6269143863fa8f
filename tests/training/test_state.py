"""Checkpoints: whole or not there, whatever happens while they are written."""

import errno
import json
import os
import shutil
from types import SimpleNamespace

import pytest
import torch
from safetensors import SafetensorError
from torch import nn
from torch.optim import Adam, AdamW, RMSprop

from retimbre.checkpoint.digest import sha256_of
from retimbre.errors import CheckpointError, NoRoom, RunError
from retimbre.training import state
from retimbre.training.objective import Progress
from retimbre.training.state import (
    FILES,
    RunState,
    checkpoint_bytes,
    complete_checkpoints,
    disk_errors_told,
    require_room,
    restore_state,
    save_state,
    sweep,
)


def new_state(seed=0, kind=AdamW):
    torch.manual_seed(seed)
    parts = {"one": nn.Linear(3, 4), "two": nn.BatchNorm1d(4)}
    return RunState(parts, {name: kind(part.parameters(), lr=0.1) for name, part in parts.items()})


def train_a_step(live):
    x = torch.randn(5, 3)
    live.parts["two"](live.parts["one"](x)).square().sum().backward()
    for optimiser in live.optimisers.values():
        optimiser.step()
        optimiser.zero_grad()


def contents(live):
    """Everything that training would go on from."""
    weights = {f"{p}.{n}": t.clone() for p, part in live.parts.items() for n, t in part.state_dict().items()}
    for name, optimiser in live.optimisers.items():
        for index, slots in optimiser.state_dict()["state"].items():
            weights |= {f"{name}.{index}.{slot}": torch.as_tensor(v).clone() for slot, v in slots.items()}
    return weights | {"generator": torch.get_rng_state()}


def is_same(one, other):
    return one.keys() == other.keys() and all(one[name].equal(other[name]) for name in one)


def save_steps(run, *steps, keep=5, kind=AdamW):
    """A run with checkpoints of some steps; what each of them holds."""
    live, held = new_state(kind=kind), {}
    for step in steps:
        train_a_step(live)
        held[step] = contents(live)
        save_state(run, live, Progress(step=step, best_score=1.0 / step, best_step=step), keep=keep)
    return live, held


def newest(run):
    return (run / "latest").read_text(encoding="utf-8")


def test_what_is_saved_is_restored_exactly(tmp_path):
    _, held = save_steps(tmp_path, 3)
    torch.manual_seed(99)
    fresh = new_state(seed=7)

    progress, notes = restore_state(tmp_path, fresh)

    assert is_same(contents(fresh), held[3])
    assert progress == Progress(step=3, best_score=1 / 3, best_step=3)
    assert notes == []


@pytest.mark.parametrize("kind", [AdamW, Adam, RMSprop])
def test_a_restored_run_goes_on_as_the_first_one(tmp_path, kind):
    live, held = save_steps(tmp_path, 3, kind=kind)
    train_a_step(live)
    expected = contents(live)
    fresh = new_state(seed=7, kind=kind)
    restore_state(tmp_path, fresh)
    assert is_same(contents(fresh), held[3])
    train_a_step(fresh)

    assert is_same(contents(fresh), expected)


def test_only_so_many_newest_checkpoints_stay_and_latest_names_the_newest(tmp_path):
    save_steps(tmp_path, 1, 2, 30, 1_000_000, keep=2)

    assert [folder.name for folder in complete_checkpoints(tmp_path)] == ["step-000030", "step-1000000"]
    assert newest(tmp_path) == "step-1000000\n"


def test_half_of_an_old_checkpoint_is_never_taken_for_one(tmp_path, monkeypatch):
    live, _ = save_steps(tmp_path, 2)
    real = shutil.rmtree

    def end(folder, ignore_errors=False):
        if ignore_errors:
            return real(folder, ignore_errors=True)
        (folder / "state.json").unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", end)
        with pytest.raises(KeyboardInterrupt):
            save_state(tmp_path, live, Progress(step=4), keep=1)

    assert [folder.name for folder in complete_checkpoints(tmp_path)] == ["step-000004"]
    sweep(tmp_path)
    assert [folder.name for folder in (tmp_path / "checkpoints").iterdir()] == ["step-000004"]


def test_a_checkpoint_holds_four_files_and_no_pickle(tmp_path):
    save_steps(tmp_path, 1)

    names = sorted(path.name for path in (tmp_path / "checkpoints" / "step-000001").iterdir())
    assert names == sorted([*FILES, "manifest.json"])


MOMENTS = [("_save", 1), ("_save", 2), ("_generator_states", 1), ("sha256_of", 1), ("sha256_of", 3)]
MOMENTS += [("force_to_disk", 1), ("force_to_disk", 5), ("force_to_disk", 6)]


@pytest.mark.parametrize("keep", [1, 3])
@pytest.mark.parametrize(("function", "nth"), MOMENTS)
def test_an_end_in_the_middle_of_saving_leaves_the_checkpoint_before_it(
    tmp_path, monkeypatch, function, nth, keep
):
    live, held = save_steps(tmp_path, 2)
    real, calls = getattr(state, function), []

    def end(*arguments):
        calls.append(arguments)
        if len(calls) >= nth:
            raise KeyboardInterrupt
        return real(*arguments)

    train_a_step(live)
    with monkeypatch.context() as patch:
        patch.setattr(state, function, end)
        with pytest.raises(KeyboardInterrupt):
            save_state(tmp_path, live, Progress(step=4), keep=keep)

    assert newest(tmp_path) == "step-000002\n"
    fresh = new_state(seed=7)
    progress, notes = restore_state(tmp_path, fresh)
    if function == "force_to_disk" and nth == 6:  # the folder has its name by then
        assert progress.step == 4
    else:
        assert progress.step == 2
        assert is_same(contents(fresh), held[2])
    assert notes == []


def test_an_end_before_latest_is_changed_is_made_good_when_the_run_goes_on(tmp_path, monkeypatch):
    live, _ = save_steps(tmp_path, 2)

    def end(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(state, "write_text", end)
        with pytest.raises(KeyboardInterrupt):
            save_state(tmp_path, live, Progress(step=4), keep=1)
    assert newest(tmp_path) == "step-000002\n"

    progress, _ = restore_state(tmp_path, new_state())
    assert progress.step == 4
    assert newest(tmp_path) == "step-000004\n"

    save_state(tmp_path, live, Progress(step=4), keep=1)
    assert [folder.name for folder in complete_checkpoints(tmp_path)] == ["step-000004"]


@pytest.mark.parametrize("name", [*FILES, "manifest.json"])
@pytest.mark.parametrize("damage", ["truncated", "one byte", "empty", "missing"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_it_is_used(tmp_path, name, damage):
    _, held = save_steps(tmp_path, 2, 4)
    path = tmp_path / "checkpoints" / "step-000004" / name
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        middle = len(content) // 2
        changed = bytes([content[middle] ^ 1])
        path.write_bytes(
            {
                "truncated": content[:middle],
                "one byte": content[:middle] + changed + content[middle + 1 :],
                "empty": b"",
            }[damage]
        )
    fresh = new_state(seed=7)

    progress, notes = restore_state(tmp_path, fresh)

    assert progress.step == 2
    assert is_same(contents(fresh), held[2])
    assert newest(tmp_path) == "step-000002\n"
    if (name, damage) != ("manifest.json", "missing"):  # then it does not exist for us
        assert len(notes) == 1
        assert notes[0].startswith("step-000004 is damaged (")
        assert notes[0].endswith("): the one before it is used")
    if damage == "truncated" and name in FILES:
        assert f"{name} changed since it was written" in notes[0]


def test_a_damaged_checkpoint_is_written_anew_when_the_run_comes_to_its_step(tmp_path):
    live, _ = save_steps(tmp_path, 2, 4)
    (tmp_path / "checkpoints" / "step-000004" / "model.safetensors").write_bytes(b"nothing")
    held = contents(live)

    save_state(tmp_path, live, Progress(step=4), keep=2)
    fresh = new_state(seed=7)
    progress, notes = restore_state(tmp_path, fresh)

    assert (progress.step, notes) == (4, [])
    assert is_same(contents(fresh), held)


def test_a_damaged_checkpoint_of_a_later_step_never_pushes_out_a_whole_one(tmp_path):
    live, _ = save_steps(tmp_path, 2, 6)
    (tmp_path / "checkpoints" / "step-000006" / "model.safetensors").write_bytes(b"nothing")

    save_state(tmp_path, live, Progress(step=3), keep=1)

    progress, _ = restore_state(tmp_path, new_state())
    assert progress.step == 3


def test_if_all_checkpoints_are_damaged_each_is_named(tmp_path):
    save_steps(tmp_path, 2, 4)
    for folder in complete_checkpoints(tmp_path):
        (folder / "state.json").write_text("{}", encoding="utf-8")

    with pytest.raises(
        RunError, match=r"no whole checkpoint .* step-000004 is damaged .* step-000002 is damaged"
    ):
        restore_state(tmp_path, new_state())


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda values: values | {"epoch": 3}, "step, best_score, best_step, seconds, epoch"),
        (lambda values: {"step": values["step"]}, "step"),
        (lambda values: None, "none"),
    ],
)
def test_a_checkpoint_of_another_version_is_refused_in_one_line_and_moves_no_weight(tmp_path, change, found):
    save_steps(tmp_path, 2)
    folder = tmp_path / "checkpoints" / "step-000002"
    content = json.loads((folder / "state.json").read_text(encoding="utf-8"))
    content["progress"] = change(content["progress"])
    (folder / "state.json").write_text(json.dumps(content), encoding="utf-8")
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    manifest["sha256"]["state.json"] = sha256_of(folder / "state.json")
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    fresh = new_state(seed=7)
    before = contents(fresh)

    with pytest.raises(RunError) as told:
        restore_state(tmp_path, fresh)

    assert str(told.value) == (
        f"{folder}/state.json was written by another version of Retimbre: expected progress as "
        f"step, best_score, best_step, seconds, found {found}. "
        "Go on with the version that began the run (lineage.json names it), or start a new run (-c name=…)"
    )
    assert is_same(contents(fresh), before)


FULL = [
    OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
    OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)),
    SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
]


@pytest.mark.parametrize("error", FULL, ids=["disk", "quota", "safetensors"])
@pytest.mark.parametrize("function", ["save_file", "force_to_disk", "sha256_of", "write_text"])
def test_a_full_disk_ends_in_one_line_and_leaves_the_checkpoint_before_it(
    tmp_path, monkeypatch, function, error
):
    live, held = save_steps(tmp_path, 2)
    train_a_step(live)

    def refuse(*arguments, **settings):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(state, function, refuse)
        patch.setattr(state.shutil, "disk_usage", lambda folder: SimpleNamespace(free=3_000_000))
        with pytest.raises(NoRoom) as told:
            save_state(tmp_path, live, Progress(step=4), keep=1)

    assert str(told.value) == (
        f"the disk is full: the checkpoint of step 4 could not be written: found 3 MB free in {tmp_path}. "
        "Free some space and go on with --resume; earlier checkpoints are whole"
    )
    assert not list((tmp_path / "checkpoints").glob(".*"))
    if function != "write_text":
        progress, notes = restore_state(tmp_path, new_state(seed=7))
        assert (progress.step, notes) == (2, [])


def test_a_folder_that_cannot_be_written_is_no_full_disk(tmp_path):
    refused = CheckpointError("x cannot be written", found="[Errno 13] Permission denied")

    with (
        pytest.raises(RunError, match=r"the weights cannot be written: .*Permission denied") as told,
        disk_errors_told(tmp_path, "the weights"),
    ):
        raise refused

    assert not isinstance(told.value, NoRoom)


def test_a_run_whose_checkpoints_would_not_fit_does_not_start(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=5_000_000))

    require_room(tmp_path, 4_999_999)
    with pytest.raises(NoRoom, match=r"too little room .* expected 8 MB, found 5 MB"):
        require_room(tmp_path, 8_000_000)


def test_the_room_that_is_asked_for_is_enough_for_a_checkpoint(tmp_path):
    live = new_state()
    live.parts["one"] = nn.Linear(400, 400)
    live.optimisers["one"] = AdamW(live.parts["one"].parameters())
    live.parts["one"](torch.randn(2, 400)).sum().backward()
    live.optimisers["one"].step()
    folder = save_state(tmp_path, live, Progress(step=1), keep=1)
    written = sum(path.stat().st_size for path in folder.iterdir())

    assert written <= checkpoint_bytes(live) < written + 1_100_000


def test_beginnings_of_files_are_swept_and_nothing_else(tmp_path):
    save_steps(tmp_path, 2)
    (tmp_path / ".model.safetensors.0a1b.part").write_bytes(b"half")
    part = tmp_path / "checkpoints" / ".step-000004.part"
    part.mkdir()
    (part / "model.safetensors").write_bytes(b"half")
    before = sorted(path for path in tmp_path.rglob("*") if ".part" not in str(path))

    sweep(tmp_path)

    assert sorted(tmp_path.rglob("*")) == before


def test_plain_values_of_the_optimisers_are_json(tmp_path):
    save_steps(tmp_path, 2)
    content = json.loads(
        (tmp_path / "checkpoints" / "step-000002" / "state.json").read_text(encoding="utf-8")
    )

    assert content["progress"]["step"] == 2
    assert content["optimisers"]["one"][0]["weight_decay"] == 0.01

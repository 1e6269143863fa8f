"""A disk may fill up at any moment: one clear line, and what was there before is whole."""

import errno
import hashlib
import json
import os
import resource
import shutil
from pathlib import Path

import pytest
from safetensors import SafetensorError

from retimbre.cli.console import Console
from retimbre.models.load import load_model
from retimbre.training import state

NO_SPACE = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
PREPARED = ("preprocessed/",)


def is_whole(checkpoint):
    """Does each file of a checkpoint have the hash that its manifest names?"""
    expected = json.loads((checkpoint / "manifest.json").read_text())["sha256"]
    return all(
        hashlib.sha256((checkpoint / name).read_bytes()).hexdigest() == expected[name] for name in expected
    )


def begun(folder):
    """Beginnings of files that nobody finished."""
    return [path for path in folder.rglob("*.part")]


@pytest.mark.parametrize("stage", ["text-to-spec", "spec-to-wav"])
def test_a_disk_with_too_little_room_is_found_before_the_first_step(project, retimbre, monkeypatch, stage):
    recipe = project.tuning if stage == "text-to-spec" else project.matching
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9 - 9, 9))
    before = project.files(but=PREPARED)

    error = retimbre("train", stage, recipe).error

    assert "the disk has too little room for this run" in error
    assert "found 0 MB" in error
    assert "training.keep_checkpoints=1" in error
    assert project.files(but=PREPARED) == before


def half(tensors, path, metadata=None):
    Path(path).write_bytes(b"half a fi")
    raise NO_SPACE


def half_in_rust(tensors, path, metadata=None):
    Path(path).write_bytes(b"half a fi")
    raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")


@pytest.mark.parametrize("write", [half, half_in_rust])
def test_a_disk_that_fills_up_while_a_checkpoint_is_written_loses_nothing(
    project, retimbre, monkeypatch, write
):
    words = ("train", "text-to-spec", project.tuning, "-c", "training.checkpoint_every_steps=1")
    real = state.save_file
    n_written = 0

    def save_file(tensors, path, metadata=None):
        nonlocal n_written
        n_written += 1
        return (write if n_written == 4 else real)(tensors, path, metadata)  # two files in each checkpoint

    monkeypatch.setattr(state, "save_file", save_file)
    error = retimbre(*words).error

    assert "the disk is full: the checkpoint of step 2" in error
    assert "--resume" in error
    run = project.runs / "tune"
    assert (run / "latest").read_text() == "step-000001\n"
    assert is_whole(run / "checkpoints" / "step-000001")
    assert not begun(run)
    assert load_model(run / "model.safetensors").stage == "text-to-spec"

    assert retimbre(*words, "--resume").code == 0
    assert (run / "latest").read_text() == "step-000003\n"


def test_a_disk_that_fills_up_while_features_are_written_loses_nothing(project, retimbre, monkeypatch):
    shutil.rmtree(project.preprocessed)
    write_bytes = Path.write_bytes
    n_written = 0

    def full_after_five(path, content):
        nonlocal n_written
        n_written += 1
        if n_written > 5:
            write_bytes(path, bytes(content[:10]))
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        return write_bytes(path, content)

    before = project.files()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full_after_five)
        error = retimbre("preprocess", "text-to-spec", project.tuning, "-C", 1).error
    assert "cannot be written" in error
    assert "No space left on device" in error
    assert str(project.preprocessed) in error
    assert not begun(project.preprocessed)
    there = project.files()
    assert before.items() <= there.items()

    ended = retimbre("preprocess", "text-to-spec", project.tuning, "-C", 1)
    assert ended.code == 0, ended.err
    finished = [name for name in there if name.endswith((".safetensors", ".wav"))]
    assert len(finished) > len([name for name in before if name.endswith((".safetensors", ".wav"))])
    assert {name: project.files()[name] for name in finished} == {name: there[name] for name in finished}


def test_preparing_on_a_really_full_disk_ends_in_one_line(project, retimbre, small_disk):
    disk = small_disk(300)
    before = project.files()

    error = retimbre(
        "preprocess", "text-to-spec", project.tuning, "-C", 1, "-c", f"data.preprocessed={disk}"
    ).error

    assert str(disk) in error
    assert "cannot be written" in error
    assert not begun(disk)
    assert project.files() == before


def test_training_on_a_really_full_disk_ends_in_one_line_and_keeps_the_last_checkpoint(
    project, retimbre, small_disk, monkeypatch
):
    disk = small_disk(16_000)
    words = (
        "train",
        "text-to-spec",
        project.tuning,
        "-c",
        f"runs={disk}",
        "-c",
        "training.checkpoint_every_steps=1",
    )
    progress = Console.progress

    def fill(console, task, done, total, note=""):
        progress(console, task, done, total, note)
        if task == "Training" and done == 2:
            free = shutil.disk_usage(disk).free
            (disk / "filler").write_bytes(b"x" * (free - 40_000))

    with monkeypatch.context() as patch:
        patch.setattr(Console, "progress", fill)
        ended = retimbre(*words)

    assert "disk is full" in ended.error or "cannot be written" in ended.error
    run = disk / "tune"
    assert (run / "latest").read_text() == "step-000002\n"
    assert is_whole(run / "checkpoints" / "step-000002")
    assert not begun(run)
    assert load_model(run / "model.safetensors").stage == "text-to-spec"

    (disk / "filler").unlink()
    assert retimbre(*words, "--resume").code == 0
    assert is_whole(run / "checkpoints" / "step-000003")


def test_speaking_to_a_really_full_disk_ends_in_one_line(project, retimbre, small_disk):
    disk = small_disk(8)
    words = (
        "synthesize",
        "from-text",
        project.text_to_spec,
        "-t",
        "one two three four five",
        "-v",
        project.vocoder,
    )

    for kind in ("wav", "spec"):
        error = retimbre(*words, "-O", kind, "-o", disk).error
        assert str(disk) in error
        assert "cannot be written" in error


@pytest.mark.parametrize("kind", ["wav", "spec"])
def test_speaking_where_no_file_may_grow_ends_in_one_line(project, retimbre, tmp_path, kind):
    # The system itself refuses to write on, as a full disk does; that needs no right to mount one.
    words = ("synthesize", "from-text", project.text_to_spec, "-t", "one two three", "-v", project.vocoder)
    before, allowed = project.files(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, allowed[1]))
    try:
        ended = retimbre(*words, "-O", kind, "-o", tmp_path / "spoken")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, allowed)

    assert str(tmp_path / "spoken") in ended.error
    assert "cannot be written" in ended.error
    assert not begun(tmp_path / "spoken")
    assert project.files() == before

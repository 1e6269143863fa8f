"""A lock that ends with its process."""

import os
import signal
import subprocess
import sys

import pytest

from retimbre.errors import RunError
from retimbre.jobs.lock import only_process

HOLD = """
import os, sys, time
from pathlib import Path
from retimbre.jobs.lock import only_process
with only_process(Path(sys.argv[1]), "it"):
    child = os.fork() if len(sys.argv) > 2 else 0
    if child or len(sys.argv) == 2:
        print(child, flush=True)
    time.sleep(60)
"""


def hold(path, *more):
    """A process that holds the lock, and the id of its child (0: none)."""
    command = [sys.executable, "-c", HOLD, str(path), *more]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    return process, int(process.stdout.readline())


def end(process):
    process.kill()
    process.wait()
    process.stdout.close()


def test_another_process_is_refused_in_one_line_until_the_holder_is_killed(tmp_path):
    process, _ = hold(tmp_path / "lock")
    try:
        with (
            pytest.raises(
                RunError, match=r"^another process works on the run in x\. Wait until it ends, or stop it"
            ),
            only_process(tmp_path / "lock", "the run in x"),
        ):
            raise AssertionError("the lock was taken twice")
    finally:
        end(process)
    with only_process(tmp_path / "lock", "the run in x"):
        pass


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no processes by fork here")
def test_a_forked_worker_that_outlives_the_holder_does_not_hold_the_lock(tmp_path):
    process, child = hold(tmp_path / "lock", "forks")
    end(process)
    try:
        os.kill(child, 0)
        with only_process(tmp_path / "lock", "it"):
            pass
    finally:
        os.kill(child, signal.SIGKILL)


def test_a_lock_is_free_again_after_an_error(tmp_path):
    with pytest.raises(KeyError), only_process(tmp_path / "lock", "it"):
        raise KeyError
    process, _ = hold(tmp_path / "lock")
    assert process.poll() is None
    end(process)


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    with (
        pytest.raises(RunError, match=r"none/lock cannot be written"),
        only_process(tmp_path / "none" / "lock", "it"),
    ):
        pass

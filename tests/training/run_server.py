"""Runs trainings in processes that may be killed.

Importing torch takes seconds, a process that has imported it is copied in milliseconds: this server imports,
then forks once for each order that it reads from its standard input (one JSON object per line), and answers
with the process id at its start and with its status at its end.
"""

import json
import os
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any

FILE_EVENTS = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "shutil.rmtree")


class KillBeforeFileOperation:
    """An audit hook: SIGKILL just before the n-th time that a folder's files are touched."""

    def __init__(self, folder: Path, n: int) -> None:
        self.folder, self.n_left = str(folder), n

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event not in FILE_EVENTS or not arguments or not isinstance(arguments[0], str | Path):
            return
        if str(arguments[0]).startswith(self.folder):
            self.n_left -= 1
            if self.n_left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


def train(order: dict[str, Any]) -> None:
    """One training: a new one, or the rest of one that was started."""
    from retimbre.errors import RetimbreError
    from retimbre.recipe.read import read_recipe
    from retimbre.training.run import run_folder
    from retimbre.training.train import continue_training, train_stage

    recipe = read_recipe(Path(order["recipe"]), order.get("overrides", []))
    folder = run_folder(recipe)
    spoil(order.get("flaw"), is_new=not (folder / "recipe.yaml").exists())
    if order.get("forks_workers"):
        fork_workers()
    if n := order.get("kill_before_file_operation"):
        sys.addaudithook(KillBeforeFileOperation(Path(order.get("watched", folder)), n))
    go_on = (folder / "recipe.yaml").exists()
    try:
        finished = (continue_training if go_on else train_stage)(recipe, device="cpu")
    except RetimbreError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    if finished.was_interrupted:
        raise SystemExit(130)
    if order.get("waits_for_its_end"):
        time.sleep(600)  # a kill that comes late still finds somebody


def spoil(flaw: str | None, *, is_new: bool) -> None:
    """Make resuming wrong on purpose."""
    from retimbre.training import run, state

    if flaw == "generators":
        state._restore_generators = lambda tensors: None
    elif flaw == "optimisers":
        state._fill_optimisers = lambda optimisers, tensors, values: None
    elif flaw == "position" and not is_new:
        batches = run._batches
        run._batches = lambda job, settings, position: batches(job, settings, 0)
    elif flaw == "weights":
        state.load_weights = lambda module, tensors: None


def fork_workers() -> None:
    """Data workers by fork, not by forkserver: the same work, but torch is not imported anew for each run."""
    from functools import partial

    from retimbre.training import batching

    loader = batching.DataLoader
    batching.DataLoader = lambda *arguments, multiprocessing_context, **settings: partial(
        loader, multiprocessing_context="fork" if multiprocessing_context else None
    )(*arguments, **settings)


def child(order: dict[str, Any]) -> int:
    """What a copy of the server does; its exit status."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    try:
        train(order)
    except SystemExit as stop:
        return int(stop.code or 0)
    except KeyboardInterrupt:  # as the command line has it
        return 130
    except BaseException:
        traceback.print_exc()
        return 70
    return 0


def serve() -> None:
    """Until standard input ends."""
    import torch
    import torch.utils.tensorboard

    import retimbre.training.fabric  # noqa: F401
    import retimbre.training.train  # noqa: F401
    from retimbre.training.fabric import make_fabric

    torch.set_num_threads(1)
    make_fabric(precision="32-true", accelerator="cpu")
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        process = os.fork()
        if process == 0:
            os._exit(child(order))
        print(json.dumps({"process": process}), flush=True)
        _, status = os.waitpid(process, 0)
        print(json.dumps({"status": os.waitstatus_to_exitcode(status)}), flush=True)


if __name__ == "__main__":
    serve()

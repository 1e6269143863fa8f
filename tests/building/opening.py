"""Opens files in a child process, one after the other, and measures each; what a file runs is heard.

The child reports for each file: how it ended, CPU seconds, the peak of its memory, and every event in which
Python runs, imports, writes or connects to something.
"""

import json
import os
import resource
import selectors
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import retimbre

N_LAST_WORDS = 1500  # characters
PATIENCE_S = 60  # of wall time, on a loaded machine; CPU time is what tests judge
# What Python reports before it happens: https://docs.python.org/3/library/audit_events.html
ACTIONS = (
    "compile", "exec", "import", "code.__new__", "function.__new__", "marshal.", "pickle.", "ctypes.",
    "os.system",
    "os.exec", "os.fork", "os.posix_spawn", "os.spawn", "os.startfile", "os.kill", "os.putenv", "os.remove",
    "os.rename", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.chmod", "os.chown", "os.truncate",
    "pty.",
    "subprocess.", "socket.", "shutil.", "tempfile.", "urllib.", "http.", "ftplib.", "smtplib.", "sqlite3.",
    "webbrowser.", "signal.", "builtins.input", "builtins.breakpoint", "object.__setattr__",
    "setopencodehook", "sys.", "cpython.",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Opened:
    """What became of one file.

    Args:
        ending: `opens`, `unsafe` or `refused`; `died` if the process did, of whatever is no error of ours.
        text: Of the error; of a process that died, its last words.
        grown_bytes: The highest memory while it was opened, beyond that before.
        actions: Events that nothing but running code would cause.
    """

    ending: str
    text: str = ""
    cpu_s: float = 0.0
    grown_bytes: int = 0
    actions: tuple[str, ...] = ()


class Opener:
    """A child process that opens what it is told; after its death another one takes its place."""

    def __init__(self, job="open_file"):
        self._job = job
        self._child = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._end()

    def open(self, path, **more):
        """Open one file there."""
        if self._child is None:
            self._begin()
        self._child.stdin.write(json.dumps({"path": str(path), **more}) + "\n")
        self._child.stdin.flush()
        answer = self._answer()
        if not answer:
            return Opened(ending="died", text=self._end() or f"no answer within {PATIENCE_S} s")
        values = json.loads(answer)
        return Opened(**values | {"actions": tuple(values.get("actions", ()))})

    def _begin(self):
        source = Path(retimbre.__file__).parents[1]
        paths = [str(source), str(Path(__file__).parents[1])]
        self._words = tempfile.TemporaryFile()  # noqa: SIM115 (as long as the child lives)
        self._child = subprocess.Popen(
            [
                sys.executable,
                "-W",
                "ignore",
                "-c",
                f"from building.opening import serve; serve({self._job!r})",
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._words,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"},
        )

        if self._answer() != "ready\n":
            raise RuntimeError(f"the child process that opens files does not start: {self._end()}")

    def _answer(self):
        with selectors.DefaultSelector() as selector:
            selector.register(self._child.stdout, selectors.EVENT_READ)
            return self._child.stdout.readline() if selector.select(PATIENCE_S) else ""

    def _end(self):
        """End the process; its last words."""
        if self._child is None:
            return ""
        if self._child.poll() is None:
            self._child.kill()
        self._child.wait()
        self._child.stdin.close()
        self._child.stdout.close()
        self._child = None
        with self._words as file:
            file.seek(0)
            return file.read().decode(errors="replace")[-N_LAST_WORDS:]


def serve(job):
    """The child: a line with a file on stdin, a line with what became of it on stdout."""
    from building import jobs  # torch loads in the child alone

    run = jobs.JOBS[job]
    jobs.warm_up()
    print("ready", flush=True)
    heard = []
    listening = [False]
    sys.addaudithook(lambda event, args: listening[0] and _hear(heard, event, args))
    for line in sys.stdin:
        heard.clear()
        told = json.loads(line)
        before, began = _reset_peak(), time.process_time()
        listening[0] = True
        outcome = run(**told)
        listening[0] = False
        outcome |= {"cpu_s": time.process_time() - began, "grown_bytes": _peak() - before}
        print(json.dumps(outcome | {"actions": heard[:5]}), flush=True)


def _hear(heard, event, args):
    is_writing = event == "open" and isinstance(args[1], str) and set(args[1]) & set("wax+")
    if is_writing or event.startswith(ACTIONS):
        heard.append(f"{event} {args!r}"[:200])


def _reset_peak():
    """Memory now, in bytes; from here on the peak is counted anew where the system can do that."""
    peaks = Path("/proc/self/clear_refs")
    if peaks.exists():
        peaks.write_text("5")
        return _status("VmRSS")
    return _peak()


def _peak():
    if Path("/proc/self/status").exists():
        return _status("VmHWM")
    scale = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale


def _status(field):
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(field))) * 1024

"""Where EveryVoice's guides say that something lies, and where it lies here.

its folder                                             ours, beside `logs_and_checkpoints`
<logs>/<experiment>/<version>/checkpoints/<name>.ckpt  runs/<experiment>-<version>/model.safetensors
<logs>/<experiment>/<version>/checkpoints/last-v1.ckpt runs/<experiment>-<version>-matched/model.safetensors
<preprocessed>/...                                     runs/<preprocessed>/...

Only for a path where nothing is: what is there is always taken as it is.
"""

import os
import re
from pathlib import Path

MATCHED = "-matched"  # a vocoder's matching run never mixes with the run that it begins from
RUNS = "runs"
MODEL = "model.safetensors"
NEWEST = re.compile(r"last(-v\d+)?")  # the one name of a checkpoint that says nothing of its step


def run_name(experiment: str, version: str, *, is_matched: bool = False) -> str:
    """The name of the run that EveryVoice keeps in `<experiment>/<version>`."""
    name = re.sub(r"[^\w.-]+", "-", f"{experiment}-{version}").lstrip(".") or "run"
    return name + MATCHED if is_matched else name


def runs_beside(save_dir: Path) -> Path:
    """The folder of our runs, beside that of EveryVoice's logs."""
    return save_dir.parent / RUNS


def stand_in(path: Path) -> Path | None:
    """What lies here in place of a path of EveryVoice's where nothing is; None if nothing does."""
    if path.exists():
        return None
    return next((place for place in places_of(path) if place.exists()), None)


def places_of(path: Path) -> list[Path]:
    """Where our commands would have put what EveryVoice puts at `path`, the likeliest first."""
    path = Path(os.path.abspath(path))  # '..' taken out: each parent has its own name
    parents = path.parents
    if path.suffix == ".ckpt" and path.parent.name == "checkpoints" and len(parents) > 4:
        newest = NEWEST.fullmatch(path.stem)
        if newest is None:
            return []  # of a step: ours keeps whole states under other names
        name = run_name(parents[2].name, parents[1].name)
        names = [name + MATCHED] if newest[1] else [name, name + MATCHED]
        return [runs_beside(parents[3]) / one / MODEL for one in names]
    return [
        folder.parent / RUNS / folder.name / path.relative_to(folder)
        for folder in (path, *parents)
        if folder.name and folder.parent.name != RUNS
    ]

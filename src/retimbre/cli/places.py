"""Paths on the command line, also as EveryVoice's guides name what Retimbre puts elsewhere."""

import os
from pathlib import Path

import typer

from retimbre.errors import RunError
from retimbre.recipe.everyvoice_places import places_of, stand_in


def file(text: str) -> Path:
    """A file that must be there; its name stands in the help."""
    path = place(text)
    if not path.exists():
        raise _not_trained(path) or typer.BadParameter(f"File '{path}' does not exist.")
    if path.is_dir():
        raise typer.BadParameter(f"File '{path}' is a directory.")
    if not os.access(path, os.R_OK):
        raise typer.BadParameter(f"File '{path}' is not readable.")
    return path


def file_or_folder(text: str) -> Path:
    """A checkpoint, or a folder with several."""
    path = place(text)
    return path if path.is_dir() else file(text)


def folder(text: str) -> Path:
    """A folder that must be there; its name stands in the help."""
    path = place(text)
    if not path.is_dir():
        what = "is a file" if path.exists() else "does not exist"
        raise typer.BadParameter(f"Directory '{path}' {what}.")
    return path


def place(text: str) -> Path:
    """A path, or what lies here in the place that EveryVoice's guides name, which is said."""
    asked = Path(text)
    found = stand_in(asked)
    if found is None:
        return asked
    from retimbre.cli.console import Console

    shown = found.relative_to(Path.cwd()) if found.is_relative_to(Path.cwd()) else found
    Console().say("Note", f"nothing is at {asked}; {shown} is taken, which is Retimbre's place for it")
    return shown


def _not_trained(asked: Path) -> RunError | None:
    """Nothing is where EveryVoice keeps a checkpoint: what there is instead, to be pasted."""
    if asked.suffix != ".ckpt" or asked.parent.name != "checkpoints" or len(asked.absolute().parents) < 5:
        return None
    runs = asked.absolute().parents[3].parent / "runs"
    models = [str(path) for path in sorted(runs.glob("*/model.safetensors"))]
    ours = places_of(asked)
    return RunError(
        f"nothing is at {asked}",
        expected=f"a checkpoint there, or what is trained here instead: {ours[0]}" if ours else None,
        found=f"{', '.join(models)}" if models else f"no model in {runs}",
        do=f"give {' or '.join(models)}" if models else "train it first",
    )

"""`retimbre quickstart`: the whole job on the bundled starter voice, in minutes on a CPU."""

from pathlib import Path
from typing import Annotated

import typer


def quickstart(
    audio: Annotated[
        Path | None,
        typer.Option(
            "--audio", exists=True, file_okay=False, help="Your recordings.  [default: a bundled speaker]"
        ),
    ] = None,
    filelist: Annotated[
        Path | None,
        typer.Option(
            "--filelist",
            "-f",
            exists=True,
            dir_okay=False,
            help="Their texts.  [default: metadata.csv beside them]",
        ),
    ] = None,
    folder: Annotated[Path, typer.Option("--output-dir", "-o", help="Where everything goes.")] = Path(
        "quickstart"
    ),
    minutes: Annotated[float, typer.Option("--minutes", min=0.5, help="Time for all the training.")] = 5.0,
    device: Annotated[str, typer.Option("--accelerator", "-a", help="auto, cpu, cuda, mps.")] = "auto",
) -> None:
    """Do the whole job on the bundled voice, with a bundled speaker or your own recordings."""
    from retimbre.cli.console import Console
    from retimbre.matching.quickstart import Quickstart, run_quickstart
    from retimbre.pipelines.synthesis import best_device

    done = run_quickstart(
        Quickstart(
            audio=audio, filelist=filelist, folder=folder, training_s=60 * minutes, device=best_device(device)
        ),
        listener=Console(),
    )
    if done.was_interrupted:
        raise typer.Exit(130)
    typer.echo(done.report)

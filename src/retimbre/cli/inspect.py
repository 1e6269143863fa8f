"""`retimbre inspect`: say what checkpoints are, without running anything in them."""

from pathlib import Path
from typing import Annotated

import typer

from retimbre.cli import places


def inspect(
    checkpoint: Annotated[
        Path, typer.Argument(parser=places.file, help="A .ckpt, .pth, .pt or .safetensors file.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")] = False,
) -> None:
    """Print what CHECKPOINT is: family, sizes, spectrogram, and what had to be assumed."""
    from retimbre.models.identify import identify  # torch loads here, not for --help

    report = identify(checkpoint)
    typer.echo(report.to_json() if as_json else report.to_text())

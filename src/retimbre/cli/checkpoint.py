"""`retimbre checkpoint`: what is in a checkpoint, and another name for a speaker."""

from pathlib import Path
from typing import Annotated

import typer

from retimbre.cli import places

MODEL = Annotated[
    Path,
    typer.Argument(parser=places.file, metavar="MODEL", help="A .ckpt, .pth, .pt or .safetensors file."),
]


def inspect(
    checkpoint: MODEL,
    has_config: Annotated[
        bool, typer.Option("--show-config/--no-show-config", "-c/-C", help="What it was trained with.")
    ] = True,
    has_architecture: Annotated[
        bool,
        typer.Option(
            "--show-architecture/--no-show-architecture", "-a/-A", help="Its parts and their sizes."
        ),
    ] = True,
) -> None:
    """Print what MODEL is, what it was trained with, and its parts."""
    from retimbre.models.identify import identify
    from retimbre.models.outline import outline

    typer.echo(identify(checkpoint).to_text())
    found = outline(checkpoint)
    if has_config:
        typer.echo(f"\nConfig\n{found.config_text()}")
    if has_architecture:
        typer.echo(f"\nArchitecture\n{found.parts_text()}")


def rename_speaker(
    checkpoint: MODEL,
    old: Annotated[str, typer.Argument(metavar="OLD", help="The name that the speaker has.")],
    new: Annotated[str, typer.Argument(metavar="NEW", help="The name that the speaker gets.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", dir_okay=False, help="Where to write.", show_default="MODEL itself"),
    ] = None,
) -> None:
    """Give a speaker of MODEL another name. The old file stays until the new one is whole."""
    from retimbre.models.speakers import rename

    typer.echo(rename(checkpoint, old, new, output=output or checkpoint))

"""`retimbre export`: a checkpoint without what only its training needs."""

from pathlib import Path
from typing import Annotated

import typer

from retimbre.cli import places


def spec_to_wav(
    checkpoint: Annotated[Path, typer.Argument(parser=places.file, help="A vocoder's checkpoint.")],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="For EveryVoice too; with the ending .safetensors for us alone."),
    ] = Path("exported.ckpt"),
) -> None:
    """Write only the generator of CHECKPOINT: smaller, to speak with, not to train on."""
    from retimbre.pipelines.export import export_spec_to_wav

    typer.echo(export_spec_to_wav(checkpoint, output))

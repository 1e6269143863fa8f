"""`retimbre convert`: a checkpoint in the format of another program."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from retimbre.cli import places
from retimbre.cli.arguments import ADAPTER_FORM, adapters_in, assumed_values

FORMATS = Literal["retimbre", "everyvoice", "hifigan", "tortoise", "onnx"]
WEIGHT_NORMS = Literal["parametrized", "older", "folded"]
VARIANTS = Literal["tortoise", "unified_voice2", "unified_voice3", "unified_voice4"]


def convert(
    file: Annotated[
        Path, typer.Argument(parser=places.file, metavar="FILE", help="A checkpoint of any program.")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The new file; for the original HiFi-GAN a folder.")
    ],
    to: Annotated[
        FORMATS | None,
        typer.Option(
            "--to", help="The format, where the ending of --output does not say it.", show_default=False
        ),
    ] = None,
    part: Annotated[
        Literal["all", "generator"],
        typer.Option("--part", help="Of a vocoder: all of it, or only what speaks."),
    ] = "all",
    weight_norm: Annotated[
        WEIGHT_NORMS | None,
        typer.Option("--weight-norm", help="How a vocoder's weight norm is stored.", show_default=False),
    ] = None,
    variant: Annotated[
        VARIANTS,
        typer.Option("--variant", help="Of TorToiSe's autoregressive network: whose program reads it."),
    ] = "tortoise",
    has_masks: Annotated[
        bool, typer.Option("--masks", help="Of the same: with the masks of transformers before 4.30.")
    ] = False,
    adapters: Annotated[
        list[str] | None,
        typer.Option(
            "--adapter",
            metavar=ADAPTER_FORM,
            help="Fold what training.lora wrote into FILE, its base; repeatable, one after another.",
        ),
    ] = None,
    assume: Annotated[
        list[str] | None,
        typer.Option(
            "--assume", metavar="NAME=VALUE", help="Say what no tensor tells, instead of the usual value."
        ),
    ] = None,
) -> None:
    """Write the model in FILE for another program; every tensor keeps its numbers."""
    from retimbre.pipelines.convert import Wish
    from retimbre.pipelines.convert import convert as converted

    wish = Wish(
        to=to,
        generator_only=part == "generator",
        weight_norm=weight_norm,
        variant=variant,
        has_masks=has_masks,
        assume=assumed_values(assume or []),
        adapters=adapters_in(adapters or []),
    )
    done = converted(file, output, wish)
    for remark in done.remarks:
        typer.echo(remark, err=True)
    for path in done.files:
        typer.echo(path)

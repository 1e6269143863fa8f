"""`retimbre preprocess`: recordings -> training material; only what changed."""

from pathlib import Path
from typing import Annotated

import typer

from retimbre.cli.arguments import (
    CONFIG_HELP,
    OVERRIDES,
    STAGE_HELP,
    STAGES,
    check_stage,
    noted_recipe,
    require_stage,
)


def preprocess(
    stage: Annotated[
        str,
        typer.Argument(metavar="STAGE", help=f"{STAGE_HELP}. It may be left out: CONFIG says it."),
    ],
    config: Annotated[Path | None, typer.Argument(metavar="CONFIG", help=CONFIG_HELP)] = None,
    overrides: OVERRIDES = None,
    steps: Annotated[
        list[str] | None,
        typer.Option(
            "--steps",
            "-s",
            help="audio, spec, pitch or energy, also several and in any order; not for TorToiSe's stages.",
            show_default="all",
        ),
    ] = None,
    has_stats: Annotated[
        bool,
        typer.Option("--stats/--no-stats", "-S", help="Accepted; training measures what it learns from."),
    ] = True,
    n_workers: Annotated[
        int | None, typer.Option("--cpus", "-C", min=1, help="Processes.", show_default="all cores")
    ] = None,
    is_overwritten: Annotated[bool, typer.Option("--overwrite", "-O", help="Do everything again.")] = False,
    is_tried: Annotated[
        bool, typer.Option("--debug", "-D", help="Only the first 10 utterances of each data set.")
    ] = False,
) -> None:
    """Prepare the recordings that CONFIG names."""
    from retimbre.cli.console import Console
    from retimbre.training.some_steps import prepare_as_asked

    named = stage if stage in STAGES or config is not None else None  # earlier: preprocess CONFIG
    if named is not None:
        require_stage(named)
    path = config if config is not None else Path(stage)
    if named == stage and config is None:
        raise typer.BadParameter("Missing argument 'CONFIG'.")
    console = Console()
    recipe = noted_recipe(path, overrides, console)
    if named is not None:
        check_stage(named, recipe)
    if not has_stats and recipe.stage in ("text-to-spec", "spec-to-wav"):
        console.say("Statistics", "are always measured when training begins, on what it learns from")
    folder = prepare_as_asked(
        recipe,
        steps=steps or (),
        is_tried=is_tried,
        is_overwritten=is_overwritten,
        n_workers=n_workers,
        listener=console,
    )
    typer.echo(folder)

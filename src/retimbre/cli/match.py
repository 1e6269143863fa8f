"""`retimbre match`: train the vocoder on what text-to-spec really produces, and report the gain."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from retimbre.cli import places
from retimbre.cli.arguments import ACCELERATOR, CONFIG, OVERRIDES, apart, check_stage, noted_recipe

if TYPE_CHECKING:
    from retimbre.cli.console import Console
    from retimbre.recipe.recipe import Recipe


def match(
    config: CONFIG,
    spec_model: Annotated[
        Path,
        typer.Option("--spec-model", parser=places.file, help="The tuned text-to-spec checkpoint."),
    ],
    overrides: OVERRIDES = None,
    vocoder: Annotated[
        Path | None,
        typer.Option("--vocoder", parser=places.file, help="spec-to-wav checkpoint.  [default: base]"),
    ] = None,
    base_spec_model: Annotated[
        Path | None,
        typer.Option(
            "--base-spec-model",
            parser=places.file,
            help="What text-to-spec was tuned from, to compare with.",
        ),
    ] = None,
    has_control: Annotated[
        bool,
        typer.Option(
            "--control/--no-control", help="Train a second vocoder as long on real specs, to compare with."
        ),
    ] = False,
    is_forced: Annotated[
        bool, typer.Option("--anyway", help="Train even where matching has little to win back.")
    ] = False,
    is_resumed: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted match.")] = False,
    device: ACCELERATOR = "auto",
) -> None:
    """Match the vocoder of CONFIG (stage: spec-to-wav) to a text-to-spec model."""
    from retimbre.cli.console import Console

    console = Console()
    recipe = noted_recipe(config, apart(config, overrides), console)
    check_stage("spec-to-wav", recipe)
    if vocoder is not None:
        recipe = recipe.model_copy(update={"base": vocoder.resolve()})
    run_match(
        recipe,
        spec_model=spec_model,
        base_spec_model=base_spec_model,
        has_control=has_control,
        is_forced=is_forced,
        is_resumed=is_resumed,
        device=device,
        console=console,
    )


def run_match(
    recipe: "Recipe",
    *,
    spec_model: Path,
    base_spec_model: Path | None,
    has_control: bool,
    is_forced: bool,
    is_resumed: bool,
    device: str,
    console: "Console",
) -> None:
    """What `match` and `train --match-with` have in common."""
    from retimbre.matching.match import MatchRequest, match
    from retimbre.pipelines.synthesis import best_device

    request = MatchRequest(
        recipe=recipe,
        spec_model=spec_model,
        base_spec_model=base_spec_model,
        has_control=has_control,
        is_forced=is_forced,
        is_resumed=is_resumed,
        device=best_device(device),
    )
    matched = match(request, listener=console)
    if matched.was_interrupted:
        console.say("Go on", "with the same command and --resume")
        raise typer.Exit(130)
    if matched.report is None:
        return
    console.say("Vocoder", str(matched.model))
    typer.echo(matched.report)

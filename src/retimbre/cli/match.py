"""`retimbre match`: train a stage on what the tuned stage before it really produces, and report the gain."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from retimbre.cli import places
from retimbre.cli.arguments import ACCELERATOR, CONFIG, OVERRIDES, apart, noted_recipe
from retimbre.errors import RecipeError

if TYPE_CHECKING:
    from retimbre.cli.console import Console
    from retimbre.recipe.recipe import Recipe

MATCHED = ("spec-to-wav", "codes-to-spec")


def match(
    config: CONFIG,
    spec_model: Annotated[
        Path,
        typer.Option(
            "--spec-model",
            parser=places.file,
            help="The tuned checkpoint that is matched to: text-to-spec; of TorToiSe text-to-codes for a "
            "CONFIG of codes-to-spec, codes-to-spec for one of spec-to-wav.",
        ),
    ],
    overrides: OVERRIDES = None,
    vocoder: Annotated[
        Path | None,
        typer.Option(
            "--vocoder",
            parser=places.file,
            help="[default: base] spec-to-wav checkpoint that is matched; for a CONFIG of codes-to-spec, "
            "what its specs are heard through (default: the set's).",
        ),
    ] = None,
    base_spec_model: Annotated[
        Path | None,
        typer.Option(
            "--base-spec-model",
            parser=places.file,
            help="What that was tuned from, to compare with.  [default for TorToiSe: the set's own]",
        ),
    ] = None,
    has_control: Annotated[
        bool,
        typer.Option(
            "--control/--no-control",
            help="Train a second one as long on real specs (codes-to-spec: on the "
            "untuned stage's latents), to compare with.",
        ),
    ] = False,
    is_forced: Annotated[
        bool, typer.Option("--anyway", help="Train even where matching has little to win back.")
    ] = False,
    is_resumed: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted match.")] = False,
    device: ACCELERATOR = "auto",
) -> None:
    """Match the vocoder of CONFIG to a text-to-spec model, or a stage of TorToiSe to the one before it."""
    from retimbre.cli.console import Console

    console = Console()
    recipe = noted_recipe(config, apart(config, overrides), console)
    require_matchable(recipe)
    if vocoder is not None and recipe.stage == "spec-to-wav":
        recipe = recipe.model_copy(update={"base": vocoder.resolve()})
    run_match(
        recipe,
        spec_model=spec_model,
        base_spec_model=base_spec_model,
        vocoder=vocoder,
        has_control=has_control,
        is_forced=is_forced,
        is_resumed=is_resumed,
        device=device,
        console=console,
    )


def require_matchable(recipe: "Recipe") -> None:
    """Raise RecipeError unless the recipe is of a stage with one before it."""
    if recipe.stage not in MATCHED:
        raise RecipeError(
            f"{recipe.stage} is matched to nothing",
            expected=f"stage: {' or '.join(MATCHED)}",
            found=f"stage: {recipe.stage}",
            do="give the recipe of the stage behind the one that was tuned",
        )


def run_match(
    recipe: "Recipe",
    *,
    spec_model: Path,
    base_spec_model: Path | None,
    vocoder: Path | None = None,
    has_control: bool,
    is_forced: bool,
    is_resumed: bool,
    device: str,
    console: "Console",
) -> None:
    """What `match` and `train --match-with` have in common."""
    from retimbre.matching.match import MatchRequest, match
    from retimbre.matching.tortoise import match_tortoise
    from retimbre.pipelines.synthesis import best_device
    from retimbre.training.tortoise_build import is_tortoise

    require_matchable(recipe)
    request = MatchRequest(
        recipe=recipe,
        spec_model=spec_model,
        base_spec_model=base_spec_model,
        vocoder=vocoder,
        has_control=has_control,
        is_forced=is_forced,
        is_resumed=is_resumed,
        device=best_device(device),
    )
    matched = (match_tortoise if is_tortoise(recipe) else match)(request, listener=console)
    if matched.was_interrupted:
        console.say("Go on", "with the same command and --resume")
        raise typer.Exit(130)
    if matched.report is None:
        return
    console.say("Vocoder" if recipe.stage == "spec-to-wav" else "Decoder", str(matched.model))
    typer.echo(matched.report)

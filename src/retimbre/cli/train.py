"""`retimbre train`: fine-tune one stage, or continue a run."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from retimbre.cli import places
from retimbre.cli.arguments import (
    ACCELERATOR,
    CONFIG,
    DEVICES,
    NODES,
    OVERRIDES,
    STAGE,
    STRATEGY,
    apart,
    check_stage,
    noted_recipe,
    require_one_device,
    require_stage,
)
from retimbre.errors import RecipeError

if TYPE_CHECKING:
    from retimbre.recipe.recipe import Recipe


def train(
    stage: STAGE,
    config: CONFIG,
    overrides: OVERRIDES = None,
    base: Annotated[
        Path | None, typer.Option("--base", parser=places.file, help="Checkpoint to start from.")
    ] = None,
    match_with: Annotated[
        Path | None,
        typer.Option(
            "--match-with",
            parser=places.file,
            help="Tuned checkpoint of the stage before, to be matched to (as 'retimbre match').",
        ),
    ] = None,
    trains_as: Annotated[
        str | None,
        typer.Option(
            "--as",
            metavar="inference|dlas",
            help="text-to-codes: compute what speaking computes, or what DL-Art-School does.",
        ),
    ] = None,
    is_lora: Annotated[
        bool, typer.Option("--lora", help="TorToiSe: learn small matrices beside the weights.")
    ] = False,
    is_resumed: Annotated[
        bool, typer.Option("--resume", help="Continue this recipe's run, nothing else.")
    ] = False,
    is_dry: Annotated[
        bool, typer.Option("--dry-run", help="Check everything and measure a few steps; no run is written.")
    ] = False,
    device: ACCELERATOR = "auto",
    devices: DEVICES = "auto",
    nodes: NODES = 1,
    strategy: STRATEGY = "auto",
) -> None:
    """Train STAGE as CONFIG says: a new run from a base checkpoint, or the rest of a run (--resume)."""
    from retimbre.cli.console import Console

    require_stage(stage)
    require_one_device(devices, nodes, strategy)
    console = Console()
    overrides = [*([f"tortoise.trains_as={trains_as}"] if trains_as else []), *(overrides or ())]
    overrides = apart(config, overrides, base=base) if match_with else overrides
    recipe = noted_recipe(config, overrides, console, base=base)
    check_stage(stage, recipe)
    recipe = _with_lora(recipe) if is_lora else recipe
    if match_with is not None:
        if is_dry:
            raise RecipeError(
                "--dry-run does not go with --match-with",
                do="leave out --match-with to try the training alone, or --dry-run to match",
            )
        from retimbre.cli.match import run_match

        run_match(
            recipe,
            spec_model=match_with,
            base_spec_model=None,
            has_control=True,
            is_forced=False,
            is_resumed=is_resumed,
            device=device,
            console=console,
        )
        return
    from retimbre.pipelines.synthesis import best_device
    from retimbre.training.train import continue_training, train_stage, try_training

    device = best_device(device)
    if is_dry:
        try_training(recipe, listener=console, device=device)
        return
    how = continue_training if is_resumed else train_stage
    finished = how(recipe, listener=console, device=device)
    typer.echo(finished.model)
    if finished.was_interrupted:
        raise typer.Exit(130)


def _with_lora(recipe: "Recipe") -> "Recipe":
    """Small matrices as the recipe has them, or as usual."""
    from retimbre.recipe.training import Lora

    training = recipe.training
    lora = training.lora or Lora()
    return recipe.model_copy(update={"training": training.model_copy(update={"lora": lora})})

"""`retimbre preprocess`: recordings -> training material; only what changed."""

from typing import Annotated

import typer

from retimbre.cli.arguments import CONFIG, OVERRIDES, STAGE, check_stage


def preprocess(
    stage: STAGE,
    config: CONFIG,
    overrides: OVERRIDES = None,
    is_overwritten: Annotated[bool, typer.Option("--overwrite", "-O", help="Do everything again.")] = False,
    n_workers: Annotated[
        int | None, typer.Option("--cpus", "-C", min=1, help="Processes; default: all cores.")
    ] = None,
) -> None:
    """Prepare the recordings that CONFIG names for STAGE."""
    from retimbre.cli.console import Console
    from retimbre.recipe.read import read_recipe
    from retimbre.training.material import prepare_material

    recipe = read_recipe(config, overrides or [])
    check_stage(stage, recipe)
    prepare_material(recipe, listener=Console(), is_overwritten=is_overwritten, n_workers=n_workers)
    typer.echo(recipe.data.preprocessed)

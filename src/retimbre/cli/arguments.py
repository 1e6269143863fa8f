"""Arguments that several commands share."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from retimbre.errors import RecipeError

if TYPE_CHECKING:
    from retimbre.recipe.recipe import Recipe

STAGE = Annotated[str, typer.Argument(help="text-to-spec or spec-to-wav.")]
CONFIG = Annotated[Path, typer.Argument(help="A recipe (YAML).")]
OVERRIDES = Annotated[
    list[str] | None,
    typer.Option(
        "-c", "--config-args", help="key=value on top of the recipe, for instance training.steps=2000."
    ),
]


def check_stage(stage: str, recipe: "Recipe") -> None:
    """The stage on the command line must be the recipe's own."""
    known = ("text-to-spec", "spec-to-wav")
    if stage not in known:
        raise RecipeError(f"there is no stage '{stage}'", expected=" or ".join(known), found=stage)
    if recipe.stage != stage:
        raise RecipeError(
            "the recipe is for another stage",
            expected=f"stage: {stage}",
            found=f"stage: {recipe.stage}",
            do=f"call 'retimbre train {recipe.stage} …', or give a recipe of {stage}",
        )

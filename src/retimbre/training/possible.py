"""What a recipe asks of its stage, looked at before anything is prepared: no refusal comes after hours."""

from retimbre.errors import RecipeError
from retimbre.models.load import Loaded
from retimbre.recipe.recipe import Recipe
from retimbre.training.build_dvae import require_possible_part
from retimbre.training.learner import require_learnable

IN_GROUPS = ("text-to-codes", "codes-to-spec")  # stages whose networks have named groups and small matrices


def require_meant(recipe: Recipe) -> None:
    """Raise RecipeError where the recipe has a wish that its stage would pass over."""
    training, stage = recipe.training, recipe.stage
    for key, is_given in (("lora", training.lora is not None), ("moving", bool(training.moving))):
        if is_given and stage not in IN_GROUPS:
            raise RecipeError(
                f"training.{key} is for {' and '.join(IN_GROUPS)}",
                found=stage,
                do="leave it out; training.frozen stops tensors by their names",
            )
    if recipe.tortoise.trains_as == "dlas" and stage != "text-to-codes":
        raise RecipeError(
            "only text-to-codes is trained as DL-Art-School does",
            found=stage,
            do="leave out tortoise.trains_as (--as)",
        )


def require_possible(recipe: Recipe, base: Loaded | None) -> None:
    """Raise RecipeError where one of TorToiSe's stages cannot learn what it is to learn from its base."""
    if base is None and recipe.stage != "wav-to-codes":
        raise RecipeError(
            f"{recipe.stage} is tuned from a base",
            expected="base: FILE in the recipe, or --base FILE",
            found="none",
            do="retimbre fetch tortoise",
        )
    if recipe.training.continues_base:
        raise RecipeError(
            "training.continues_base is for checkpoints of EveryVoice",
            found=f"a recipe of TorToiSe's {recipe.stage}",
            do="leave it out; an own run goes on by --resume",
        )
    if recipe.stage == "wav-to-codes":
        require_possible_part(recipe)
    if base is not None and recipe.stage in IN_GROUPS:
        require_learnable(base.model, recipe.training, base.description.family)

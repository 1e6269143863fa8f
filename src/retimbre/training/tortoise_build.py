"""TorToiSe's stages: recipe -> material -> plan -> job. What speaks later is what is computed here."""

from retimbre.models.identify import identify
from retimbre.recipe.recipe import Recipe
from retimbre.recipe.training import LossWeights, Optimiser, Training

STAGES = ("text-to-codes", "codes-to-spec", "wav-to-codes")
VOCODER = "univnet"


def is_tortoise(recipe: Recipe) -> bool:
    """Is one of TorToiSe's stages trained? Of vocoders, the base tells."""
    if recipe.stage in STAGES:
        return True
    if recipe.stage != "spec-to-wav" or recipe.base is None or not recipe.base.is_file():
        return False
    return identify(recipe.base, is_hashed=False).family == VOCODER


def with_stored_plan(asked: Training, stored: Training) -> Training:
    """What a run was begun with, wherever the recipe leaves it open: a resumed run is not planned anew."""
    nested = {
        "optimiser": asked.optimiser.model_copy(update=_left_open(asked.optimiser, stored.optimiser)),
        "loss": asked.loss.model_copy(update=_left_open(asked.loss, stored.loss)),
    }
    return asked.model_copy(update=_left_open(asked, stored) | nested)


def _left_open(
    asked: Training | Optimiser | LossWeights, stored: Training | Optimiser | LossWeights
) -> dict[str, object]:
    return {
        name: getattr(stored, name) for name in type(asked).model_fields if name not in asked.model_fields_set
    }

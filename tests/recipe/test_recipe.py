"""What a recipe is, once it is read."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from retimbre.recipe.recipe import Data, Recipe
from retimbre.recipe.training import Training

DATA = Data(recordings=Path("wavs"), filelist=Path("list.csv"))


def test_a_recipe_cannot_be_changed():
    recipe = Recipe(stage="text-to-spec", data=DATA)

    with pytest.raises(ValidationError):
        recipe.name = "other"


def test_resolving_twice_changes_nothing_more():
    once = Recipe(stage="text-to-spec", data=DATA, base=Path("b")).resolved_against(Path("/there"))

    assert once.resolved_against(Path("/elsewhere")) == once
    assert once.base == Path("/there/b")
    assert once.data.filelist == Path("/there/list.csv")


def test_resolving_leaves_the_recipe_itself_as_it_was():
    recipe = Recipe(stage="text-to-spec", data=DATA)
    recipe.resolved_against(Path("/there"))

    assert recipe.data.recordings == Path("wavs")


@pytest.mark.parametrize("name", ["a/b", "", "a b", "../a", "ä/"])
def test_the_name_of_a_run_is_the_name_of_one_folder(name):
    with pytest.raises(ValidationError):
        Recipe(stage="text-to-spec", data=DATA, name=name)


@pytest.mark.parametrize("name", [".", "..", "..."])
def test_the_name_of_a_run_is_not_a_way_upwards(name):
    with pytest.raises(ValidationError):
        Recipe(stage="text-to-spec", data=DATA, name=name)


@pytest.mark.parametrize(
    "field", ["steps", "batch_size", "log_every_steps", "checkpoint_every_steps", "keep_checkpoints"]
)
@pytest.mark.parametrize("value", [0, -1])
def test_counts_are_above_zero(field, value):
    with pytest.raises(ValidationError):
        Training(**{field: value})

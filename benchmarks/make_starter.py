"""Train the bundled starter voice from its four recipes, or only put finished runs into the package.

    make starter                                      # train all (hours), then bundle
    python benchmarks/make_starter.py --bundle-only   # take what runs/starter-* has kept so far
    python benchmarks/make_starter.py --steps 4 --into DIR   # a few steps of each, into a folder of its own

The recordings are read from ../shared/data/kathleen beside the checkout. Weights are stored in half
precision: 16 bits hold them to three digits, and the files are half as large.
"""

import argparse
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import load_file

from retimbre.checkpoint.fill import load_weights
from retimbre.cli.console import Console
from retimbre.errors import RetimbreError, RunError
from retimbre.models.load import Loaded, load_model, save_model
from retimbre.recipe.read import read_recipe
from retimbre.recipe.recipe import Recipe
from retimbre.training.run import run_folder
from retimbre.training.state import complete_checkpoints
from retimbre.training.train import continue_training, train_stage

ROOT = Path(__file__).resolve().parents[1]
STARTER = ROOT / "src" / "retimbre" / "starter"
PARTS = {"text-to-spec": "model", "spec-to-wav": "generator"}  # of a training checkpoint
RECIPES = {  # in their order -> the file that the run becomes; the first vocoder runs are only bases
    "starter-text-to-spec": "text_to_spec",
    "starter-spec-to-wav": "",
    "starter-spec-to-wav-clear": "",
    "starter-spec-to-wav-settled": "spec_to_wav",
}
NEWEST = "latest-model.safetensors"  # of a run that is only a base


def main() -> None:
    """Train what is not trained yet, and bundle."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bundle-only", action="store_true", help="train nothing")
    parser.add_argument("--steps", type=int, help="so many of each run: a trial")
    parser.add_argument("--into", type=Path, help="runs and weights go to this folder")
    given = parser.parse_args()
    if given.steps and not given.into:
        parser.error("--steps needs --into: a trial must not become the bundled voice")
    for name, file in RECIPES.items():
        recipe = recipe_of(name, n_steps=given.steps, into=given.into)
        folder = run_folder(recipe)
        if not given.bundle_only:
            go = continue_training if (folder / "recipe.yaml").is_file() else train_stage
            go(recipe, listener=Console())
        if file:
            bundle(folder, (given.into or STARTER) / f"{file}.safetensors")
        elif not given.bundle_only:
            loaded, discriminators, _ = newest(folder)
            save_model(folder / NEWEST, loaded.model, loaded.description, discriminators)


def recipe_of(name: str, *, n_steps: int | None, into: Path | None) -> Recipe:
    """A recipe of the starter voice, or a trial of it in another folder."""
    recipe = read_recipe(ROOT / "recipes" / f"{name}.yaml")
    if n_steps:
        recipe = recipe.model_copy(update={"training": recipe.training.model_copy(update={"steps": n_steps})})
    if into is None:
        return recipe
    data = recipe.data.model_copy(update={"preprocessed": into / "kathleen"})
    base = into / recipe.base.parent.name / recipe.base.name if recipe.base else None
    return recipe.model_copy(update={"data": data, "runs": into, "base": base})


def newest(run: Path) -> tuple[Loaded, dict[str, torch.Tensor], int]:
    """The model with the weights of a run's last step, its discriminators, and that step.

    The newest, not those that a validation chose: the mean difference of teacher-forced specs stops falling
    long before the speech stops becoming clearer.
    """
    if not (run / "model.safetensors").is_file() or not complete_checkpoints(run):
        raise RunError(f"there is no checkpoint in {run}", do="train it first: make starter")
    loaded, checkpoint = load_model(run / "model.safetensors"), complete_checkpoints(run)[-1]
    weights = load_file(checkpoint / "model.safetensors")
    load_weights(loaded.model, below(weights, f"{PARTS[loaded.stage]}."))
    step = int(checkpoint.name.removeprefix("step-"))
    described = replace(loaded.description, step=step)
    return replace(loaded, description=described), below(weights, "discriminators."), step


def bundle(run: Path, target: Path) -> None:
    """The newest weights of a run, halved, with where they come from."""
    loaded, discriminators, step = newest(run)
    lineage = {
        "data": "Kathleen (US English, CC0 1.0, rhasspy/dataset-voice-kathleen), 850 clips, 43 minutes",
        "licence": "Apache-2.0",
        "contact": "the Retimbre project",
        "recipe": f"recipes/{run.name}.yaml",
        "steps": step,
    }
    description = replace(loaded.description, lineage=lineage)
    extra = {name: halved(tensor) for name, tensor in discriminators.items()}
    path = save_model(target, loaded.model.half(), description, extra)
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB, step {step:,}")


def below(tensors: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """The tensors of one part, without its prefix."""
    return {name[len(prefix) :]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def halved(tensor: torch.Tensor) -> torch.Tensor:
    """16-bit numbers in place of 32-bit ones; counters stay."""
    return tensor.half() if tensor.is_floating_point() else tensor


if __name__ == "__main__":
    try:
        main()
    except RetimbreError as error:
        sys.exit(f"error: {error}")

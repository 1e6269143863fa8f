"""Train the bundled starter voice from its four recipes, or only put finished runs into the package.

    make starter                                      # train all (hours), then bundle
    python benchmarks/make_starter.py --bundle-only   # take what runs/starter-* has kept so far

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
from retimbre.models.load import load_model, save_model
from retimbre.recipe.read import read_recipe
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


def main() -> None:
    """Train what is not trained yet, and bundle."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bundle-only", action="store_true", help="train nothing")
    arguments = parser.parse_args()
    for name, file in RECIPES.items():
        recipe = read_recipe(ROOT / "recipes" / f"{name}.yaml")
        folder = run_folder(recipe)
        if not arguments.bundle_only:
            go = continue_training if (folder / "recipe.yaml").is_file() else train_stage
            go(recipe, listener=Console())
        if file:
            bundle(folder, STARTER / f"{file}.safetensors")


def bundle(run: Path, target: Path) -> None:
    """The newest weights of a run, halved, with where they come from.

    The newest, not those that a validation chose: the mean difference of teacher-forced specs stops falling
    long before the speech stops becoming clearer.
    """
    if not (run / "model.safetensors").is_file() or not complete_checkpoints(run):
        raise RunError(f"there is no checkpoint in {run}", do="train it first: make starter")
    loaded, newest = load_model(run / "model.safetensors"), complete_checkpoints(run)[-1]
    weights = load_file(newest / "model.safetensors")
    part = PARTS[loaded.stage]
    load_weights(loaded.model, below(weights, f"{part}."))
    step = int(newest.name.removeprefix("step-"))
    lineage = {
        "data": "Kathleen (US English, CC0 1.0, rhasspy/dataset-voice-kathleen), 850 clips, 43 minutes",
        "licence": "Apache-2.0",
        "contact": "the Retimbre project",
        "recipe": f"recipes/{run.name}.yaml",
        "steps": step,
    }
    description = replace(loaded.description, lineage=lineage, step=step)
    extra = {name: halved(tensor) for name, tensor in below(weights, "discriminators.").items()}
    path = save_model(target, loaded.model.half(), description, extra)
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1e6:.1f} MB, step {step:,}")


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

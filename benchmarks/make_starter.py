"""Train the bundled starter voice from its two recipes, or only put finished runs into the package.

    make starter                                      # train both (hours), then bundle
    python benchmarks/make_starter.py --bundle-only   # take what runs/starter-* has kept so far

The recordings are read from ../shared/data/kathleen beside the checkout. Weights are stored in half
precision: 16 bits hold them to three digits, and the files are half as large.
"""

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

import torch

from retimbre.cli.console import Console
from retimbre.errors import RetimbreError, RunError
from retimbre.models.load import load_model, save_model
from retimbre.recipe.read import read_recipe
from retimbre.training.run import run_folder
from retimbre.training.train import continue_training, train_stage

ROOT = Path(__file__).resolve().parents[1]
STARTER = ROOT / "src" / "retimbre" / "starter"
STAGES = {"text-to-spec": "text_to_spec", "spec-to-wav": "spec_to_wav"}


def main() -> None:
    """Train what is not trained yet, and bundle."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bundle-only", action="store_true", help="train nothing")
    arguments = parser.parse_args()
    for stage, name in STAGES.items():
        recipe = read_recipe(ROOT / "recipes" / f"starter-{stage}.yaml")
        folder = run_folder(recipe)
        if not arguments.bundle_only:
            go = continue_training if (folder / "recipe.yaml").is_file() else train_stage
            go(recipe, listener=Console())
        bundle(folder, STARTER / f"{name}.safetensors")


def bundle(run: Path, target: Path) -> None:
    """The kept weights of a run, halved, with where they come from and without paths of this machine."""
    kept = run / "model.safetensors"
    if not kept.is_file():
        raise RunError(f"there is no kept model in {run}", do="train it first: make starter")
    loaded = load_model(kept)
    progress = json.loads((run / "model.json").read_text(encoding="utf-8"))
    lineage = {
        "data": "Kathleen (US English, CC0 1.0, rhasspy/dataset-voice-kathleen), 850 clips, 43 minutes",
        "licence": "Apache-2.0",
        "contact": "the Retimbre project",
        "recipe": f"recipes/{run.name}.yaml",
        "steps": progress["step"],
    }
    description = replace(loaded.description, lineage=lineage)
    model = loaded.model.half()
    extra = {name: halved(tensor) for name, tensor in loaded.discriminators.items()}
    path = save_model(target, model, description, extra)
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1e6:.1f} MB, step {progress['step']:,}")


def halved(tensor: torch.Tensor) -> torch.Tensor:
    """16-bit numbers in place of 32-bit ones; counters stay."""
    return tensor.half() if tensor.is_floating_point() else tensor


if __name__ == "__main__":
    try:
        main()
    except RetimbreError as error:
        sys.exit(f"error: {error}")

"""Recipe -> training run of its stage: new, continued, or only tried."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from retimbre.errors import CheckpointError, RunError
from retimbre.jobs.listener import Listener, Silent
from retimbre.models.description import Description
from retimbre.models.load import Loaded, load_model
from retimbre.pipelines.synthesis import best_device
from retimbre.recipe.read import read_recipe
from retimbre.recipe.recipe import MAY_BE_MISSING, Recipe
from retimbre.recipe.tortoise import FILES
from retimbre.recipe.training import Optimiser
from retimbre.training.build import spec_to_wav_from, text_to_spec_from
from retimbre.training.differences import tell_differences
from retimbre.training.job import Job
from retimbre.training.material import Material, prepare_material, require_same_lengths
from retimbre.training.possible import require_meant
from retimbre.training.run import (
    Finished,
    require_unused,
    resume,
    run_folder,
    seconds_per_step,
    start,
    stored_recipe,
)
from retimbre.training.tortoise_build import is_tortoise, tortoise_job, with_stored_plan

FREE_ON_RESUME = ("steps", "n_workers", "checkpoint_every_steps", "keep_checkpoints", "log_every_steps")
KEPT_WITH_WEIGHTS = (
    "name",
    "betas",
    "alpha",
    "eps",
    "weight_decay",
)  # part of the optimiser's state in a checkpoint


def train_stage(recipe: Recipe, *, listener: Listener | None = None, device: str = "auto") -> Finished:
    """Prepare the material, build the stage from its base or from scratch, and train it in a new folder."""
    listener = listener or Silent()
    require_unused(recipe)
    recipe, job = _planned_job(recipe, listener=listener, device=device)
    return start(recipe, job, listener=listener, device=device)


def continue_training(recipe: Recipe, *, listener: Listener | None = None, device: str = "auto") -> Finished:
    """The rest of the run that this recipe started; only its length and learning rate may have changed."""
    listener = listener or Silent()
    stored = read_recipe(stored_recipe(run_folder(recipe)))
    if is_tortoise(recipe):
        training = with_stored_plan(recipe.training, stored.training)
        recipe = recipe.model_copy(update={"training": training})
    require_same_run(stored, recipe.resolved_against(Path.cwd()))
    recipe, job = _planned_job(recipe, listener=listener, device=device, is_resumed=True)
    return resume(recipe, job, listener=listener, device=device)


def try_training(recipe: Recipe, *, listener: Listener, device: str = "auto") -> float:
    """Check everything and measure a few steps without a run folder; seconds per step."""
    require_unused(recipe)
    recipe, job = _planned_job(recipe, listener=listener, device=device)
    seconds = seconds_per_step(recipe, job, device=device)
    n_steps = recipe.training.steps - (job.beginning.step if job.beginning else 0)
    listener.say(
        "Dry run", f"{seconds:.2f} s per step; {n_steps:,} steps take {seconds * n_steps / 3600:.1f} h"
    )
    return seconds


def _planned_job(
    recipe: Recipe, *, listener: Listener, device: str, is_resumed: bool = False
) -> tuple[Recipe, Job]:
    """The stage with its data, and the recipe with everything decided that it left open."""
    require_meant(recipe)
    if not is_tortoise(recipe):
        return recipe, stage_job(recipe, listener=listener, is_resumed=is_resumed)
    stored = recipe.training if is_resumed else None
    device = str(best_device(device))
    return tortoise_job(recipe, _base(recipe, listener), listener=listener, device=device, stored=stored)


def stage_job(
    recipe: Recipe, *, listener: Listener, material: Material | None = None, is_resumed: bool = False
) -> Job:
    """The stage of a recipe with its data; everything random about it comes from the recipe's seed."""
    base = _base(recipe, listener)
    if base is not None and not is_resumed:
        tell_differences(recipe, base, listener)
    material = material or prepare_material(recipe, base=base, listener=listener)
    is_produced = recipe.training.spec_source == "produced"
    # Of what is held out no produced specs are used here: they may be missing.
    compared = replace(material, held_out=()) if is_produced else material
    require_same_lengths(compared, has_produced=is_produced)
    torch.manual_seed(recipe.training.seed)
    build = text_to_spec_from if recipe.stage == "text-to-spec" else spec_to_wav_from
    return build(recipe, material, base, listener)


def _base(recipe: Recipe, listener: Listener) -> Loaded | None:
    if recipe.base is None:
        listener.say("Base", "none: from scratch, which takes hours of speech and days of training")
        return None
    if not recipe.base.is_file():
        raise RunError(
            f"the base checkpoint {recipe.base} does not exist",
            do="correct 'base:' in the recipe (seen from the recipe's folder; in EveryVoice's files, "
            "'training.finetune_checkpoint') or give --base FILE",
        )
    base = load_model(recipe.base)
    if base.stage != recipe.stage:
        raise CheckpointError(
            f"{recipe.base.name} is no {recipe.stage} checkpoint",
            expected=f"one of stage {recipe.stage}",
            found=f"{base.description.family} ({base.stage})",
        )
    listener.say("Base", f"{recipe.base.name}: {describe(base.description, base)}")
    for assumed in base.description.assumed:
        listener.say("", f"assumed: {assumed}")
    return base


def describe(description: Description, loaded: Loaded) -> str:
    """One line about a model."""
    n_parameters = sum(p.numel() for p in loaded.model.parameters())
    symbols = f", {len(description.symbols)} symbols" if description.symbols else ""
    discriminators = ", with discriminators" if loaded.discriminators else ""
    size = f"{n_parameters / 1e6:.1f} M parameters"
    return f"{description.family}, {size}{symbols}{discriminators}, step {description.step:,}"


def require_same_run(stored: Recipe, asked: Recipe) -> None:
    """Raise RunError where a recipe is another than the one that a run was begun with, but for its length."""
    free = {f"training.{name}" for name in FREE_ON_RESUME}
    free |= {f"training.optimiser.{name}" for name in Optimiser.model_fields if name not in KEPT_WITH_WEIGHTS}
    ours, theirs = (_by_key(_unplaced(recipe).model_dump(mode="json")) for recipe in (stored, asked))
    keys = dict.fromkeys([*ours, *theirs])
    changed = [key for key in keys if key not in free and ours.get(key) != theirs.get(key)]
    if changed:
        raise RunError(
            f"the recipe is not the one that the run in {run_folder(asked)} was started with",
            found=f"another {', '.join(changed)}",
            do="--resume continues a run and nothing else: name a new run (-c name=…) for other settings",
        )


def _unplaced(recipe: Recipe) -> Recipe:
    """The recipe with the names of its files but not their folders: a project may have been moved."""
    data = recipe.data
    given = [name for name in MAY_BE_MISSING if getattr(data, name) is not None]
    names: dict[str, object] = {
        name: Path(getattr(data, name).name) for name in ("recordings", "filelist", "preprocessed", *given)
    }
    names["more"] = tuple(
        one.model_copy(update={"recordings": Path(one.recordings.name), "filelist": Path(one.filelist.name)})
        for one in data.more
    )
    base = Path(recipe.base.name) if recipe.base else None
    section = recipe.tortoise
    beside = {name: Path(path.name) for name in FILES if (path := getattr(section, name)) is not None}
    updated = {
        "data": data.model_copy(update=names),
        "runs": Path(recipe.runs.name),
        "base": base,
        "tortoise": section.model_copy(update=beside),
    }
    return recipe.model_copy(update=updated)


def _by_key(section: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested sections as one mapping with dotted keys."""
    flat: dict[str, Any] = {}
    for name, value in section.items():
        key = prefix + name
        flat |= _by_key(value, key + ".") if isinstance(value, dict) and value else {key: value}
    return flat

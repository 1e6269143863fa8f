"""The phases of experiment_tortoise.py that make and measure codes; each skips what is done."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from make_tortoise_set import write_released
from on_ljspeech import at_steps
from tortoise_agreement import agreements, chosen_by
from tortoise_plan import AR, MODES, N_FOLDS, SEEDS, TUNINGS, Plan, Tuning, write
from tortoise_stops import Held, forced_length, greedy_codes, knowledge, lengths_of, sampled_codes

from retimbre.cli.console import Console
from retimbre.errors import RunError
from retimbre.jobs.listener import Silent
from retimbre.models.load import Loaded, load_model, save_model
from retimbre.models.tortoise_ar import TORTOISE_AR
from retimbre.models.tortoise_ar.model import UnifiedVoice
from retimbre.pipelines.teacher_forced_latents import voice_choice
from retimbre.recipe.recipe import Recipe
from retimbre.recipe.training import Training
from retimbre.training.run import run_folder
from retimbre.training.tortoise_material import prepare_tortoise
from retimbre.training.tortoise_training_files import files_of
from retimbre.training.tortoise_voices import TrainingVoices
from retimbre.training.train import continue_training, train_stage

N_DRAWN = 4  # codes of each held-out text


def dvae(plan: Plan) -> None:
    """What makes the codes."""
    if plan.dvae_file.is_file():
        return
    handed_on(trained(plan.dvae()) / "model.safetensors", plan.dvae_file)


def base(plan: Plan) -> None:
    """The autoregressive stage of all voices."""
    if plan.base_file.is_file():
        return
    recipe = plan.base()
    if recipe.base is not None and not recipe.base.is_file():
        torch.manual_seed(recipe.training.seed)
        recipe.base.parent.mkdir(parents=True, exist_ok=True)
        write_released(recipe.base, TORTOISE_AR, UnifiedVoice(AR))
    handed_on(trained(recipe) / "model.safetensors", plan.base_file)


def tune(plan: Plan) -> None:
    """Every mode, seed and fold."""
    for tuning in TUNINGS:
        if not plan.tuned_file(tuning).is_file():
            newest = max(at_steps(trained(plan.tuned(tuning)), "model").items())[1]
            save_model(plan.tuned_file(tuning), newest.model, newest.description)


def measure(plan: Plan) -> None:
    """The base, and every kept step of every run, on what its fold holds out."""
    for fold in range(N_FOLDS):
        held = held_in(plan, fold)
        measured_once(plan.measures(f"base-fold-{fold}"), held, load_model(plan.base_file))
        for tuning in (one for one in TUNINGS if one.fold == fold):
            for step, loaded in at_steps(run_folder(plan.tuned(tuning)), "model").items():
                is_last = step == plan.steps.tune
                measured_once(plan.measures(f"{tuning.name}-step-{step}"), held, loaded, speaks=is_last)


def agree(plan: Plan) -> None:
    """The precisions, on the network of the first seed that was trained as it speaks."""
    for fold in range(N_FOLDS):
        tuned = plan.tuned_file(Tuning(mode=MODES[0], seed=SEEDS[0], fold=fold))
        path = plan.measures(f"agreement-fold-{fold}")
        if path.is_file():
            continue
        chosen = chosen_by(partial(speaker_in, tuned), held_in(plan, fold))
        found = agreements(chosen)
        write(path, {kind: {name: asdict(one) for name, one in of.items()} for kind, of in found.items()})


def measured_once(path: Path, held: Sequence[Held], loaded: Loaded, *, speaks: bool = True) -> None:
    """What one network makes of what is held out, unless that is known.

    Args:
        speaks: Freely, too, which takes most of the time.
    """
    if not path.is_file():
        model = voice_in(loaded)
        write(path, {one.name: scores(model, one, speaks=speaks) for one in held})
        print(f"measured: {path.stem}", flush=True)


def scores(model: UnifiedVoice, held: Held, *, speaks: bool) -> dict[str, Any]:
    """All that is measured of one utterance."""
    stop = model.config.stop_code
    found = {
        **asdict(knowledge(model, held)),
        "codes_as_dlas_hears": knowledge(heard_as_dlas(model), held).codes,
        "n_codes": held.n_codes,
        "forced": [forced_length(model, held)],
    }
    if speaks:
        found["greedy"] = lengths_of(greedy_codes(model, held).unsqueeze(0), stop)
        found["sampled"] = lengths_of(sampled_codes(model, held, n_each=N_DRAWN, seed=1), stop)
    return found


def heard_as_dlas(model: UnifiedVoice) -> UnifiedVoice:
    """The same weights, the voice heard through DL-Art-School's other sum: what D1 of its defects costs."""
    other = UnifiedVoice(replace(model.config, residual="norm(x) + h"))
    other.load_state_dict(model.state_dict())
    return other.eval()


def held_in(plan: Plan, fold: int) -> list[Held]:
    """What no tuning of a fold has seen; the voice is heard from what it learns from, always the same."""
    mode = MODES[0]
    recipe = plan.tuned(Tuning(mode=mode, seed=SEEDS[0], fold=fold))
    recipe = recipe.model_copy(update={"training": Training()})
    material = prepare_tortoise(recipe, files=files_of(recipe), listener=Silent())
    voices = TrainingVoices.of(material, recipe.tortoise)
    return [
        Held(
            name=one.utterance.basename,
            symbols=one.symbols,
            codes=one.codes,
            clips=voices.for_auto(one, voice_choice(1, one.utterance)),
        )
        for one in material.held_out
    ]


def voice_in(loaded: Loaded) -> UnifiedVoice:
    """The network, ready to speak."""
    assert isinstance(loaded.model, UnifiedVoice)
    return loaded.model.eval()


def speaker_in(path: Path) -> UnifiedVoice:
    """The network of a file, ready to speak."""
    return voice_in(load_model(path))


def trained(recipe: Recipe) -> Path:
    """The run folder of a recipe whose run is whole: begun now, gone on with, or there already.

    Raises:
        RunError: if it was stopped before its end.
    """
    run = run_folder(recipe)
    is_begun = (run / "recipe.yaml").is_file()
    if not is_begun or recipe.training.steps not in at_steps(run, "model"):
        go = continue_training if is_begun else train_stage
        if go(recipe, listener=Console(), device="cpu").was_interrupted:
            raise RunError(f"{run} was stopped", do="start the same phase again: it goes on from there")
    return run


def handed_on(model: Path, to: Path) -> None:
    """The kept best of a run, as the next phases read it."""
    loaded = load_model(model)
    to.parent.mkdir(parents=True, exist_ok=True)
    save_model(to, loaded.model, loaded.description)

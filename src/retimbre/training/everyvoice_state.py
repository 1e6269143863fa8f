"""Going on with EveryVoice's own training: step counter and optimiser's averages out of its checkpoint."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from retimbre.checkpoint.read import Contents, read
from retimbre.errors import CheckpointError, RecipeError, RunError
from retimbre.jobs.listener import Listener
from retimbre.models.fastspeech2 import FASTSPEECH2
from retimbre.recipe.recipe import Recipe
from retimbre.training.job import Beginning

# Tensors of a FastSpeech2 that no optimiser has ever had, by the ends of their names.
NO_PARAMETERS = (".running_mean", ".running_var", ".num_batches_tracked", ".inv_freq")
STATE = "optimizer_states/0/state"
SLOTS = {
    "adamw": {"step", "exp_avg", "exp_avg_sq"},
    "adam": {"step", "exp_avg", "exp_avg_sq"},
    "rms": {"step", "square_avg"},
}
START_ANEW = "take its weights only: training.continues_base=false"


def beginning_of(recipe: Recipe, model: nn.Module, listener: Listener) -> Beginning:
    """Where the base's own training stands, for the parameters of `model`.

    Raises:
        RecipeError: if there is no base whose training could be gone on with.
        CheckpointError: if the base has no state, or one that does not fit.
        RunError: if nothing is left to train.
    """
    if recipe.base is None or recipe.stage != "text-to-spec":
        raise RecipeError(
            "training.continues_base has nothing to go on with",
            expected="a text-to-spec recipe whose base is a checkpoint of EveryVoice",
            found="no base" if recipe.base is None else f"a recipe of {recipe.stage}",
            do="write 'continues_base: false'",
        )
    contents = read(recipe.base)
    shape_of = {name: parameter.shape for name, parameter in model.named_parameters()}
    slots = {
        name: _grown(state, shape_of[name])
        for name, state in _slots_by_name(contents, recipe.training.optimiser.name).items()
        if name in shape_of
    }
    step = _step(contents)
    if step >= recipe.training.steps:
        raise RunError(
            f"{recipe.base.name} has been trained for {step:,} steps already, and goes on from there",
            expected=f"training.steps (EveryVoice's max_steps) above {step:,}",
            found=f"{recipe.training.steps:,}",
            do=f"give more steps, or {START_ANEW}",
        )
    anew = [name for name, p in model.named_parameters() if p.requires_grad and name not in slots]
    more = f"; {len(anew)} tensors begin anew" if anew else ""
    listener.say(
        "Continued",
        f"{recipe.base.name} from its step {step:,}, with its optimiser ({len(slots)} tensors){more}",
    )
    return Beginning(step=step, slots=slots)


def _slots_by_name(contents: Contents, optimiser: str) -> dict[str, dict[str, Tensor]]:
    """What the optimiser knows about each parameter, under our names.

    Lightning numbers parameters in the order of the module, which is that of its state dict.
    """
    names = [name for name in contents.tensors if not name.endswith(NO_PARAMETERS)]
    numbered = _numbered(contents)
    if not numbered:
        raise CheckpointError(
            f"{contents.path.name} holds no state of an optimiser",
            expected="a full checkpoint as EveryVoice's training writes it",
            do=START_ANEW,
        )
    n_parameters = _n_parameters(contents.values)
    if n_parameters != len(names) or max(numbered) >= len(names):
        raise _misfit(contents, f"{len(names)} parameters", f"{n_parameters}")
    by_name: dict[str, dict[str, Tensor]] = {}
    for number, slots in numbered.items():
        shape = contents.tensors[names[number]].shape
        wrong = next((slot for slot, t in slots.items() if slot != "step" and t.shape != shape), None)
        if wrong or set(slots) != SLOTS[optimiser]:
            expected = f"{', '.join(sorted(SLOTS[optimiser]))} of {tuple(shape)}"
            found = ", ".join(f"{slot} {tuple(tensor.shape)}" for slot, tensor in slots.items())
            raise _misfit(contents, f"{expected} for {names[number]}", found)
        by_name[names[number]] = slots
    return _ours(by_name)


def _grown(slots: Mapping[str, Tensor], shape: torch.Size) -> dict[str, Tensor]:
    """The same with zeros for rows that were added to a table: nothing has moved them yet."""
    if all(not tensor.ndim or tensor.shape == shape for tensor in slots.values()):
        return dict(slots)
    grown = {}
    for slot, tensor in slots.items():
        new = tensor.new_zeros(shape) if tensor.ndim else tensor.clone()
        if tensor.ndim:
            new[: len(tensor)] = tensor
        grown[slot] = new
    return grown


def _numbered(contents: Contents) -> dict[int, dict[str, Tensor]]:
    found: dict[int, dict[str, Tensor]] = {}
    for name, tensor in contents.other_tensors.items():
        place, _, slot = name.rpartition("/")
        folder, _, number = place.rpartition("/")
        if folder == STATE and number.isdecimal():
            found.setdefault(int(number), {})[slot] = tensor.clone()  # a mapped file must not stay open
    return found


def _ours(by_name: Mapping[str, Mapping[str, Tensor]]) -> dict[str, dict[str, Tensor]]:
    ours: dict[str, dict[str, Tensor]] = {}
    for slot in next(iter(by_name.values())):
        for name, tensor in FASTSPEECH2.ours({n: slots[slot] for n, slots in by_name.items()}).items():
            ours.setdefault(name, {})[slot] = tensor
    return ours


def _n_parameters(values: Mapping[str, Any]) -> int:
    try:
        return sum(len(group["params"]) for group in values["optimizer_states"][0]["param_groups"])
    except (KeyError, IndexError, TypeError):
        return 0


def _step(contents: Contents) -> int:
    step = contents.values.get("global_step")
    if not isinstance(step, int) or step < 0:
        raise _misfit(contents, "a number of steps", str(step)[:40])
    return step


def _misfit(contents: Contents, expected: str, found: str) -> CheckpointError:
    return CheckpointError(
        f"the optimiser's state in {contents.path.name} does not fit its weights",
        expected=expected,
        found=found,
        do=START_ANEW,
    )

"""Going on with EveryVoice's own training: step counter and optimisers' averages out of its checkpoint."""

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from retimbre.checkpoint.read import Contents, read
from retimbre.errors import CheckpointError, RecipeError, RunError
from retimbre.jobs.listener import Listener
from retimbre.models.fastspeech2 import FASTSPEECH2
from retimbre.models.hifigan import HIFIGAN
from retimbre.models.hifigan.from_shapes import discriminator_tensors
from retimbre.recipe.everyvoice_training import FROZEN_LAYERS
from retimbre.recipe.recipe import Recipe
from retimbre.training.job import Beginning
from retimbre.training.schedules import learning_rate

# Tensors of a FastSpeech2 that no optimiser has ever had, by the ends of their names.
NO_PARAMETERS = (".running_mean", ".running_var", ".num_batches_tracked", ".inv_freq")
SPECTRAL_VECTORS = (".weight_u", ".weight_v")  # nor has it these of a discriminator
LAYER = re.compile(r"(mpd|msd)\.discriminators\.\d+\.convs\.(\d+)\.")
GENERATOR, DISCRIMINATORS = 0, 1  # EveryVoice's order of a vocoder's optimisers
NOTICED = 0.01  # share by which a learning rate may jump where a training goes on
SLOTS = {
    "adamw": {"step", "exp_avg", "exp_avg_sq"},
    "adam": {"step", "exp_avg", "exp_avg_sq"},
    "rms": {"step", "square_avg"},
}
START_ANEW = "take its weights only: training.continues_base=false"


def beginning_of(recipe: Recipe, parts: Mapping[str, nn.Module], listener: Listener) -> Beginning:
    """Where the base's own training stands, for the parameters of `parts`.

    Args:
        parts: The modules that learn, no two of which have parameters of one name.

    Raises:
        RecipeError: if there is no base whose training could be gone on with.
        CheckpointError: if the base has no state, or one that does not fit.
        RunError: if nothing is left to train.
    """
    if recipe.base is None:
        raise RecipeError(
            "training.continues_base has nothing to go on with",
            expected="a recipe whose base is a checkpoint of EveryVoice",
            found="no base",
            do="write 'continues_base: false'",
        )
    contents, kind = read(recipe.base), recipe.training.optimiser.name
    is_vocoder = recipe.stage == "spec-to-wav"
    known = _vocoder_slots(contents, kind) if is_vocoder else _text_to_spec_slots(contents, kind)
    step = _updates(contents, known) if is_vocoder else _step(contents)
    _require_steps_left(recipe, contents, step)
    parameters = {name: p for part in parts.values() for name, p in part.named_parameters()}
    slots = {n: _grown(state, parameters[n].shape) for n, state in known.items() if n in parameters}
    anew = [name for name, p in parameters.items() if p.requires_grad and name not in slots]
    more = f"; {len(anew)} tensors begin anew" if anew else ""
    whose = "its optimisers" if is_vocoder else "its optimiser"
    listener.say(
        "Continued", f"{recipe.base.name} from its step {step:,}, with {whose} ({len(slots)} tensors){more}"
    )
    if is_vocoder:
        _tell_other_rate(contents, recipe, step, listener)
    return Beginning(step=step, slots=slots)


def _require_steps_left(recipe: Recipe, contents: Contents, step: int) -> None:
    if step >= recipe.training.steps:
        counted = "max_steps, half of it" if recipe.stage == "spec-to-wav" else "max_steps"
        raise RunError(
            f"{contents.path.name} has been trained for {step:,} steps already, and goes on from there",
            expected=f"training.steps (EveryVoice's {counted}) above {step:,}",
            found=f"{recipe.training.steps:,}",
            do=f"give more steps, or {START_ANEW}",
        )


def _text_to_spec_slots(contents: Contents, kind: str) -> dict[str, dict[str, Tensor]]:
    """What the optimiser knows about each parameter, under our names."""
    tensors = {n: t for n, t in contents.tensors.items() if not n.endswith(NO_PARAMETERS)}
    return _ours(_slots(contents, 0, tensors, kind))


def _vocoder_slots(contents: Contents, kind: str) -> dict[str, dict[str, Tensor]]:
    """What both optimisers know; that of the discriminators has those of scales first, and no frozen ones."""
    judged = discriminator_tensors(contents.tensors)
    is_matched = bool(_training(contents).get("finetune"))
    moving = {
        name: judged[name]
        for prefix in ("msd.", "mpd.")
        for name in judged
        if name.startswith(prefix)
        and not name.endswith(SPECTRAL_VECTORS)
        and not (is_matched and _is_frozen(name))
    }
    of_generator = _slots(contents, GENERATOR, HIFIGAN.ledger_of(contents.tensors).tensors, kind)
    return of_generator | _slots(contents, DISCRIMINATORS, moving, kind)


def _is_frozen(name: str) -> bool:
    """Does it not move while EveryVoice matches a vocoder?"""
    found = LAYER.match(name)
    return found is not None and int(found[2]) < FROZEN_LAYERS[found[1]]


def _training(contents: Contents) -> Mapping[str, Any]:
    try:
        training = contents.values["hyper_parameters"]["config"]["training"]
    except (KeyError, TypeError):
        return {}
    return training if isinstance(training, Mapping) else {}


def _slots(
    contents: Contents, index: int, tensors: Mapping[str, Tensor], kind: str
) -> dict[str, dict[str, Tensor]]:
    """What one optimiser knows about each of `tensors`, which are all that it has.

    Lightning numbers parameters in the order in which the optimiser was given them: that of the modules.
    """
    names, numbered = list(tensors), _numbered(contents, index)
    if not numbered:
        raise CheckpointError(
            f"{contents.path.name} holds no state of an optimiser",
            expected="a full checkpoint as EveryVoice's training writes it",
            do=START_ANEW,
        )
    n_parameters = _n_parameters(contents.values, index)
    if n_parameters != len(names) or max(numbered) >= len(names):
        raise _misfit(contents, f"{len(names)} parameters", f"{n_parameters}")
    by_name: dict[str, dict[str, Tensor]] = {}
    for number, slots in numbered.items():
        shape = tensors[names[number]].shape
        wrong = next((slot for slot, t in slots.items() if slot != "step" and t.shape != shape), None)
        if wrong or set(slots) != SLOTS[kind]:
            expected = f"{', '.join(sorted(SLOTS[kind]))} of {tuple(shape)}"
            found = ", ".join(f"{slot} {tuple(tensor.shape)}" for slot, tensor in slots.items())
            raise _misfit(contents, f"{expected} for {names[number]}", found)
        by_name[names[number]] = slots
    return by_name


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


def _numbered(contents: Contents, index: int) -> dict[int, dict[str, Tensor]]:
    found: dict[int, dict[str, Tensor]] = {}
    for name, tensor in contents.other_tensors.items():
        place, _, slot = name.rpartition("/")
        folder, _, number = place.rpartition("/")
        if folder == f"optimizer_states/{index}/state" and number.isdecimal():
            found.setdefault(int(number), {})[slot] = tensor.clone()  # a mapped file must not stay open
    return found


def _ours(by_name: Mapping[str, Mapping[str, Tensor]]) -> dict[str, dict[str, Tensor]]:
    ours: dict[str, dict[str, Tensor]] = {}
    for slot in next(iter(by_name.values())):
        for name, tensor in FASTSPEECH2.ledger_of(
            {n: slots[slot] for n, slots in by_name.items()}
        ).tensors.items():
            ours.setdefault(name, {})[slot] = tensor
    return ours


def _n_parameters(values: Mapping[str, Any], index: int) -> int:
    try:
        return sum(len(group["params"]) for group in values["optimizer_states"][index]["param_groups"])
    except (KeyError, IndexError, TypeError):
        return 0


def _step(contents: Contents) -> int:
    step = contents.values.get("global_step")
    if not isinstance(step, int) or step < 0:
        raise _misfit(contents, "a number of steps", str(step)[:40])
    return step


def _updates(contents: Contents, slots: Mapping[str, Mapping[str, Tensor]]) -> int:
    """Updates of the generator: Lightning's own counter has those of the discriminators in it."""
    step = max(float(state["step"]) for name, state in slots.items() if not name.startswith(("mpd.", "msd.")))
    if not step.is_integer() or step < 0:
        raise _misfit(contents, "a number of updates", f"{step:g}")
    return int(step)


def _tell_other_rate(contents: Contents, recipe: Recipe, step: int, listener: Listener) -> None:
    """Say so where the recipe's schedule is elsewhere than the base's was at this step."""
    try:
        theirs = float(contents.values["lr_schedulers"][0]["_last_lr"][0])
    except (KeyError, IndexError, TypeError, ValueError):
        return
    ours = learning_rate(recipe.training.optimiser, step, recipe.training.steps)
    if abs(ours - theirs) > NOTICED * theirs:
        listener.say("Learning rate", f"{ours:.3g} at this step; the base had come to {theirs:.3g}")


def _misfit(contents: Contents, expected: str, found: str) -> CheckpointError:
    return CheckpointError(
        f"the optimiser's state in {contents.path.name} does not fit its weights",
        expected=expected,
        found=found,
        do=START_ANEW,
    )

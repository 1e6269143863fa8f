"""EveryVoice's training section -> our own: steps, learning rate, losses, and what it starts from."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from retimbre.errors import CheckpointError, RecipeError
from retimbre.recipe.everyvoice_data import folder_of
from retimbre.recipe.everyvoice_files import Merged
from retimbre.recipe.everyvoice_places import stand_in
from retimbre.recipe.everyvoice_schema import (
    Noam,
    Optimiser,
    Predictors,
    SpecToWavTraining,
    TextToSpecTraining,
    Training,
)
from retimbre.recipe.training import Training as OurTraining

EVERYVOICE_DECAY = 0.999  # of a vocoder's learning rate in each epoch, whatever its files say
KEPT_IF_ALL = 100  # checkpoints, where EveryVoice keeps every one
FROZEN_LAYERS = {"mpd": 3, "msd": 4}  # of each discriminator, where EveryVoice matches a vocoder
FEWEST_BETWEEN_CHECKPOINTS = 500  # steps, where EveryVoice counts epochs, which may be very short
INFINITE = -1


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How EveryVoice's counts become steps.

    Args:
        per_epoch: Steps in which it sees all training utterances once; None while there is no list of them.
        warmup: Steps of a vocoder in which one optimiser counts instead of two.
        n_optimisers: How many of them `max_steps` counts.
    """

    per_epoch: int | None
    warmup: int = 0
    n_optimisers: int = 1

    def steps(self, counted: int) -> int:
        """Steps after which EveryVoice's counter has come to `counted`."""
        first = min(self.warmup, counted)
        return first + math.ceil((counted - first) / self.n_optimisers)


def text_to_spec_training(
    given: TextToSpecTraining, predictors: Predictors, mel_loss: str, pace: Pace, notes: list[str]
) -> dict[str, Any]:
    """The keys of our section `training` for text-to-spec."""
    noam = given.optimizer
    if noam.name != "noam":
        notes.append(f"optimizer.name: {noam.name} is read as noam, as EveryVoice does for text-to-spec")
    return {
        "optimiser": {
            "name": "adamw",
            "learning_rate": noam.learning_rate,
            "betas": list(noam.betas),
            "eps": noam.eps,
            "weight_decay": noam.weight_decay,
            "schedule": "noam",
            "warmup_steps": noam.warmup_steps,
        },
        "loss": {
            "spec": given.mel_loss_weight,
            "postnet": given.postnet_loss_weight,
            "pitch": given.pitch_loss_weight,
            "energy": given.energy_loss_weight,
            "duration": given.duration_loss_weight,
            "attn_ctc": given.attn_ctc_loss_weight,
            "attn_bin": given.attn_bin_loss_weight,
            "spec_distance": mel_loss,
            "pitch_distance": predictors.pitch.loss,
            "energy_distance": predictors.energy.loss,
            "duration_distance": predictors.duration.loss,
            **_binarisation(given, pace, notes),
        },
    }


def spec_to_wav_training(
    given: SpecToWavTraining, *, n_periods: int, n_scales: int, pace: Pace, merged: Merged, notes: list[str]
) -> dict[str, Any]:
    """The keys of our section `training` for a vocoder."""
    if given.gan_type != "original":
        raise RecipeError(
            f"{merged.where('training.gan_type')}: 'gan_type: {given.gan_type}' is not supported",
            expected="gan_type: original",
            do="write 'gan_type: original'; EveryVoice 0.5.0 itself cannot train the other one",
        )
    values: dict[str, Any] = {
        "optimiser": _optimiser(given.optimizer, pace, merged, notes),
        "adversarial_from_step": given.generator_warmup_steps,
    }
    if not given.finetune:
        return values
    values["spec_source"] = "produced"
    if given.finetune_checkpoint is not None:
        counts = {"mpd": n_periods, "msd": n_scales}
        values["frozen"] = [
            f"discriminators.{kind}.discriminators.{index}.convs.{layer}."
            for kind, n_layers in FROZEN_LAYERS.items()
            for index in range(counts[kind])
            for layer in range(n_layers)
        ]
        notes.append("finetune: the first layers of the discriminators are frozen, as in EveryVoice")
    return values


def common_training(given: Training, pace: Pace, merged: Merged, notes: list[str]) -> dict[str, Any]:
    """What both stages have in common."""
    return {
        "steps": _steps(given, pace, merged, notes),
        "batch_size": given.batch_size,
        "n_workers": given.train_data_workers,
        "validate_every_steps": _validate_every(given, pace, notes),
        **_checkpoints(given, pace, merged, notes),
    }


def base_of(given: Training, merged: Merged, notes: list[str]) -> str | None:
    """What the run starts from. A file that is not there is never a reason to start from scratch.

    Where the guides of EveryVoice name a file of its own and our training has written another, that is taken.
    """
    path = given.finetune_checkpoint
    if path is None:
        return None
    folder, place = folder_of(merged), merged.where("training.finetune_checkpoint")
    if ours := stand_in(folder / path):
        notes.append(f"finetune_checkpoint: nothing is at {path}; {ours}, which was trained here, is taken")
        return str(ours)
    if not (folder / path).is_file():
        seen_from = f"{Path.cwd()}, then from {folder}" if place.startswith("'-c") else folder
        raise RecipeError(
            f"{place}: 'training.finetune_checkpoint' is not there",
            expected="a checkpoint",
            found=f"{'a folder' if (folder / path).is_dir() else 'nothing'} at {(folder / path).resolve()}",
            do=f"correct the path (a relative one is seen from {seen_from}), or write "
            "'finetune_checkpoint: null' to train from scratch",
        )
    return str((folder / path).resolve())


def continues(
    given: Optimiser | Noam, base: str | None, notes: list[str], *, is_matching: bool = False
) -> bool:
    """Is a checkpoint gone on with, as EveryVoice does where its optimiser block is the same?

    Args:
        is_matching: Of a vocoder: part of the discriminators is frozen, so that their optimiser differs from
            that of a training on real specs. EveryVoice stops there.
    """
    if base is None:
        return False
    name = Path(base).name
    if _has_same_optimiser(given, Path(base), is_matching):
        notes.append(
            f"finetune_checkpoint: {name} is gone on with, its step and optimiser included, because the "
            "optimizer block is the same as there; max_steps counts its steps, too"
        )
        return True
    note_weights_only(base, notes)
    return False


def note_weights_only(base: str | None, notes: list[str]) -> None:
    """Say that only the weights of a checkpoint are taken over."""
    if base is not None:
        notes.append(
            f"finetune_checkpoint: the weights of {Path(base).name} are taken over, its step and optimiser "
            "are not"
        )


def _has_same_optimiser(given: Optimiser | Noam, base: Path, is_matching: bool) -> bool:
    from retimbre.checkpoint.read import read  # torch loads here, not for a recipe without a base

    try:
        values: Any = read(base).values
        if not values["optimizer_states"]:
            return False
        training = values["hyper_parameters"]["config"]["training"]
        if bool(training.get("finetune")) != is_matching:
            return False
        stored = type(given).model_validate(training["optimizer"])
    except (CheckpointError, ValidationError, AttributeError, KeyError, TypeError):
        return False  # another kind of checkpoint; one that cannot be read is told of when it is loaded
    return stored.model_dump() == given.model_dump()


def _steps(given: Training, pace: Pace, merged: Merged, notes: list[str]) -> int:
    by_steps = None if given.max_steps == INFINITE else pace.steps(given.max_steps)
    by_epochs = given.max_epochs * pace.per_epoch if pace.per_epoch and given.max_epochs != INFINITE else None
    limits = [limit for limit in (by_steps, by_epochs) if limit is not None]
    if not limits or min(limits) < 1:
        raise RecipeError(
            f"{merged.where('training.max_steps')}: it is not said how long to train",
            expected="max_steps above 0",
            found=f"max_steps: {given.max_steps}, max_epochs: {given.max_epochs}",
            do="write 'max_steps: 100000'",
        )
    if by_steps is not None and pace.n_optimisers > 1:
        notes.append(
            f"max_steps: EveryVoice counts both optimisers of a vocoder; {given.max_steps:,} are "
            f"{by_steps:,} steps here"
        )
    if by_epochs is not None and by_epochs == min(limits) and by_epochs != by_steps:
        notes.append(
            f"max_epochs: {given.max_epochs:,} epochs of {pace.per_epoch:,} steps end the run at step "
            f"{by_epochs:,}"
        )
    if pace.per_epoch is None and given.max_epochs != INFINITE:
        notes.append(
            "max_epochs: without a list nobody knows how long an epoch is, so that only max_steps counts"
        )
    return min(limits)


def _validate_every(given: Training, pace: Pace, notes: list[str]) -> int:
    every = given.val_check_interval
    if isinstance(every, int) and every > 0:
        return every
    usual = int(OurTraining.model_fields["validate_every_steps"].default)
    if pace.per_epoch is None:
        notes.append(f"val_check_interval: the length of an epoch is not known; every {usual} steps instead")
        return usual
    return max(1, round((every or 1) * pace.per_epoch))


def _checkpoints(given: Training, pace: Pace, merged: Merged, notes: list[str]) -> dict[str, int]:
    if given.ckpt_steps is not None and given.ckpt_epochs is not None and _both_written(given):
        raise RecipeError(
            f"{merged.where('training.ckpt_steps')}: ckpt_steps and ckpt_epochs exclude each other",
            expected="one of them",
            found=f"ckpt_steps: {given.ckpt_steps} and ckpt_epochs: {given.ckpt_epochs}",
            do="write 'ckpt_epochs: null'",
        )
    keep = given.save_top_k_ckpts
    if keep == INFINITE:
        notes.append(f"save_top_k_ckpts: -1 keeps the newest {KEPT_IF_ALL} here")
    notes.append("save_top_k_ckpts: the newest are kept, and beside them the best weights")
    values = {"keep_checkpoints": KEPT_IF_ALL if keep == INFINITE else max(1, keep)}
    if given.ckpt_steps:
        return values | {"checkpoint_every_steps": max(1, pace.steps(given.ckpt_steps))}
    if given.ckpt_steps is None and given.ckpt_epochs and pace.per_epoch:
        every = max(given.ckpt_epochs * pace.per_epoch, FEWEST_BETWEEN_CHECKPOINTS)
        notes.append(f"ckpt_epochs: {given.ckpt_epochs} is taken as {every:,} steps")
        return values | {"checkpoint_every_steps": every}
    usual = OurTraining.model_fields["checkpoint_every_steps"].default
    notes.append(f"ckpt_epochs: everything is saved every {usual} steps, however long an epoch is")
    return values


def _both_written(given: Training) -> bool:
    return {"ckpt_steps", "ckpt_epochs"} <= given.model_fields_set


def _optimiser(given: Optimiser, pace: Pace, merged: Merged, notes: list[str]) -> dict[str, Any]:
    foreign = "betas" if given.name == "rms" else "alpha"
    if foreign in given.model_fields_set:
        raise RecipeError(
            f"{merged.where(f'training.optimizer.{foreign}')}: '{foreign}' does not go with "
            f"'name: {given.name}'",
            do=f"take '{foreign}' out, or write 'name: {'adamw' if given.name == 'rms' else 'rms'}'",
        )
    unheard = [name for name in ("eps", "weight_decay") if name in given.model_fields_set]
    ours = Optimiser()
    if any(getattr(given, name) != getattr(ours, name) for name in unheard):
        notes.append(f"optimizer: EveryVoice overlooks a vocoder's {' and '.join(unheard)}; here they count")
    if given.name == "adam":
        notes.append("optimizer: EveryVoice 0.5.0 cannot train a vocoder with 'adam'; here it is Adam")
    return {
        "name": given.name,
        "learning_rate": given.learning_rate,
        "betas": list(given.betas),
        "alpha": given.alpha,
        "eps": given.eps,
        "weight_decay": given.weight_decay,
        **_decay(pace, notes),
    }


def _decay(pace: Pace, notes: list[str]) -> dict[str, Any]:
    """EveryVoice lowers a vocoder's learning rate by a thousandth in each epoch."""
    if pace.per_epoch is None:
        notes.append(
            "optimizer: the learning rate stays as it is; EveryVoice takes 0.1 % off in each epoch, whose "
            "length is not known yet"
        )
        return {"schedule": "constant"}
    return {"schedule": "exponential", "decay": EVERYVOICE_DECAY ** (1000 / pace.per_epoch)}


def _binarisation(given: TextToSpecTraining, pace: Pace, notes: list[str]) -> dict[str, int]:
    epochs = given.attn_bin_loss_warmup_epochs
    if pace.per_epoch:
        return {"attn_bin_full_step": epochs * pace.per_epoch}
    usual = 1000
    notes.append(
        f"attn_bin_loss_warmup_epochs: {epochs} epochs of unknown length are taken as {usual:,} steps"
    )
    return {"attn_bin_full_step": usual}

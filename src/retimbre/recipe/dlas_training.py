"""How a DL-Art-School YAML trains, in a recipe's words: optimiser, learning rate, losses, what is kept."""

from collections.abc import Mapping
from typing import Any

from retimbre.errors import RecipeError
from retimbre.recipe.dlas_file import DlasFile
from retimbre.recipe.dlas_keys import number, truth, whole_or_none
from retimbre.recipe.training import Training

OPTIMISERS = {"adamw": "adamw", "adamw_zero": "adamw", "lion": "lion"}
LOSSES: Mapping[str, Mapping[str, str]] = {  # what a loss is of -> our weight
    "text-to-codes": {"loss_text_ce": "text", "loss_mel_ce": "codes"},
    "codes-to-spec": {"loss": "noise", "vb_loss": "variance", "mel_pred": "first_guess"},
}
LATE = ("noise", "variance")  # losses that may begin later
NEVER = 1e9  # no gradient is so long


def optimiser_values(file: DlasFile, step: str) -> dict[str, Any]:
    """Which one, and how far a step may go.

    Raises:
        RecipeError: if it is one that there is not.
    """
    key = f"{step}.optimizer"
    given = str(file.get(key, "adamw"))
    if given not in OPTIMISERS:
        raise file.wrong(key, expected=f"one of {', '.join(OPTIMISERS)}")
    if given == "adamw_zero":
        file.tell("changed", key, "training.optimiser.name adamw: there is nothing to share on one device")
    else:
        file.tell("honoured", key, f"training.optimiser.name {OPTIMISERS[given]}")
    if file.get("use_8bit"):
        file.tell(
            "changed",
            "use_8bit",
            "averages in 32 bits, which any machine can; with bitsandbytes and a GPU "
            "-c training.optimiser.name=adamw8bit takes a quarter of their memory",
        )
    else:
        file.tell("honoured", "use_8bit", "averages in 32 bits")
    if file.get(f"{step}.optimizer_params.lr") is None:
        raise RecipeError(
            f"{file.where(f'{step}.optimizer_params')}: there is no learning rate",
            do="write 'lr: 0.00001' under 'optimizer_params'",
        )
    values = {"name": OPTIMISERS[given], "decays": "matrices", "betas": _betas(file, step)}
    return values | {"clip_norm": _clip(file, f"{step}.clip_grad_eps")}


def _betas(file: DlasFile, step: str) -> list[float]:
    found = []
    for name, usual in (("beta1", 0.9), ("beta2", 0.999)):
        key = f"{step}.optimizer_params.{name}"
        found.append(converted(file, key, number, usual))
        file.tell("honoured", key, "training.optimiser.betas")
    return found


def _clip(file: DlasFile, key: str) -> float:
    if file.get(key) is None:
        return NEVER
    file.tell(
        "changed",
        key,
        "training.optimiser.clip_norm, of all gradients together: there those of matrices and of the others "
        "are clipped apart",
    )
    return float(converted(file, key, number, NEVER))


def converted(file: DlasFile, key: str, convert: Any, usual: Any) -> Any:  # noqa: ANN401 - any value
    """The value of a key as `convert` has it, `usual` where there is none; or the error with its line."""
    value = file.get(key)
    if value is None:
        return usual
    try:
        return convert(value)
    except ValueError as error:
        raise file.wrong(key, expected=str(error)) from error


def schedule_values(file: DlasFile) -> dict[str, Any]:
    """How the learning rate goes on.

    Raises:
        RecipeError: if it is neither constant nor falls in steps.
    """
    key = "train.default_lr_scheme"
    if file.get(key, "MultiStepLR") != "MultiStepLR":
        raise file.wrong(
            key,
            expected="MultiStepLR",
            do=f"write it; for a cosine give -c {key}=MultiStepLR -c training.optimiser.schedule=cosine",
        )
    file.tell("honoured", key, "training.optimiser.schedule milestones")
    warmup = 0
    for key in ("train.warmup_iter", "train.warmup_steps"):
        value = file.get(key)
        if value is not None:
            steps = converted(file, key, lambda given: 0 if given == -1 else whole_or_none(given), 0)
            file.tell("honoured", key, "training.optimiser.warmup_steps")
            warmup = max(warmup, steps)
    return {"schedule": "milestones", "warmup_steps": warmup}


def loss_values(file: DlasFile, stage: str, step: str) -> dict[str, Any]:
    """What each loss counts; one that the file does not name counts nothing.

    Raises:
        RecipeError: if a loss is one that there is not, or begins when it cannot.
    """
    known = LOSSES[stage]
    values: dict[str, Any] = dict.fromkeys(known.values(), 0.0)
    begins: dict[str, int] = {}
    for name, loss in file.section(f"{step}.losses").items():
        key = f"{step}.losses.{name}"
        ours = known.get(_of(file, key, loss))
        if ours is None:
            raise RecipeError(
                f"{file.where(key)}: the loss '{name}' is not one of this stage's",
                expected=f"losses of {', '.join(known)}",
            )
        values[ours] = converted(file, f"{key}.weight", number, 1.0)
        file.tell("honoured", f"{key}.weight", f"training.loss.{ours}")
        if loss.get("after") is not None:
            begins[ours] = _begins(file, f"{key}.after", ours)
        if ours == "first_guess" and loss.get("criterion", "l2") != "l2":
            raise file.wrong(f"{key}.criterion", expected="l2")
        for word in ("type", "key", "criterion", "real", "fake"):
            if word in loss:
                file.tell("the same here", f"{key}.{word}")
    return values | _from_step(file, step, stage, begins)


def _of(file: DlasFile, key: str, loss: Any) -> str:  # noqa: ANN401 - a file may hold anything
    if not isinstance(loss, Mapping):
        raise file.wrong(key, expected="a section with 'type', 'weight' and 'key'")
    return str(loss.get("fake") if loss.get("type") == "pix" else loss.get("key"))


def _begins(file: DlasFile, key: str, ours: str) -> int:
    if ours not in LATE:
        raise RecipeError(f"{file.where(key)}: this loss counts from the first step", do="take 'after' out")
    file.tell("honoured", key, "training.loss.noise_from_step")
    return int(converted(file, key, whole_or_none, 0))


def _from_step(file: DlasFile, step: str, stage: str, begins: Mapping[str, int]) -> dict[str, int]:
    if stage != "codes-to-spec":
        return {}
    found = {begins.get(name, 0) for name in LATE}
    if len(found) > 1:
        raise RecipeError(
            f"{file.where(f'{step}.losses')}: the losses of noise and of its variance begin together",
            expected="the same 'after' in both",
            found=" and ".join(str(begins.get(name, 0)) for name in LATE),
        )
    return {"noise_from_step": found.pop()}


def precision_values(file: DlasFile) -> dict[str, str]:
    """Numbers in the forward pass."""
    if not converted(file, "fp16", truth, False):
        file.tell("honoured", "fp16", "training.precision 32-true")
        return {"precision": "32-true"}
    file.tell("changed", "fp16", "training.precision bf16-mixed: bfloat16 needs no scaling of the loss")
    return {"precision": "bf16-mixed"}


def keep_values(file: DlasFile) -> dict[str, int]:
    """How many checkpoints stay: weights and state are one here."""
    keys = [f"upgrades.number_of_{what}_to_save" for what in ("checkpoints", "states")]
    given = {key: converted(file, key, whole_or_none, 0) for key in keys if file.get(key) is not None}
    most = max(given.values(), default=0)
    usual = Training().keep_checkpoints
    for key, value in given.items():
        if not most:
            text = f"the newest {usual} stay (training.keep_checkpoints); there all of them do"
            file.tell("changed", key, text)
        elif value == most:
            file.tell("honoured", key, "training.keep_checkpoints")
        else:
            file.tell("changed", key, f"{most} stay: weights and state are one checkpoint here")
    return {"keep_checkpoints": most} if most else {}

"""A DL-Art-School YAML for TorToiSe, understood as one of our recipes.

dlas_file.py      the file, its lines, and what became of each value
dlas_keys.py      every key and what it means here
dlas_data.py      name, lists, voices, checkpoints      dlas_training.py   optimiser, losses, what is kept
dlas_sizes.py     sizes beside those of the checkpoint
"""

import difflib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from retimbre.errors import RecipeError
from retimbre.recipe.dlas_data import AS_DLAS, base_values, data_values, name_of, voice_values
from retimbre.recipe.dlas_file import DlasFile, from_here, read_dlas
from retimbre.recipe.dlas_keys import Honoured, Ignored, Rule, Same, rules_of
from retimbre.recipe.dlas_notes import notes_of
from retimbre.recipe.dlas_sizes import tell_sizes
from retimbre.recipe.dlas_training import (
    converted,
    keep_values,
    loss_values,
    optimiser_values,
    precision_values,
    schedule_values,
)
from retimbre.recipe.everyvoice import Adopted
from retimbre.recipe.mistakes import SHOWN
from retimbre.recipe.overrides import apply_override, split_override
from retimbre.recipe.recipe import Recipe, Stage

STAGES: Mapping[str, Stage] = {  # which_model_G -> what is trained
    "unified_voice2": "text-to-codes",
    "unified_voice3": "text-to-codes",
    "unified_voice4": "text-to-codes",
    "diffusion_tts_flat": "codes-to-spec",
}
INJECTORS: Mapping[str, tuple[str, ...]] = {
    "text-to-codes": ("torch_mel_spectrogram", "for_each", "discrete_token", "generator"),
    "codes-to-spec": (
        *("torch_mel_spectrogram", "mel_spectrogram", "audio_resample", "for_each"),
        *("gpt_voice_latent", "gaussian_diffusion"),
    ),
}
SECTIONS = {"datasets", "steps", "networks"}


def is_dlas(raw: Mapping[str, Any]) -> bool:
    """Are these the keys of a DL-Art-School YAML?"""
    return set(raw) >= SECTIONS or raw.get("model") == "extensibletrainer"


def adopted(path: Path, overrides: Iterable[str] = (), *, base: Path | None = None) -> Adopted:
    """The recipe that the file amounts to, and what became of each of its lines. Nothing of it is changed.

    Args:
        overrides: `key=value` in DL-Art-School's words, or in ours where it has no such word.
        base: To begin from, whatever the file says.

    Raises:
        RecipeError: in one line, where a word is not known, values contradict each other, or cannot be had.
    """
    overrides = tuple(overrides)
    file = read_dlas(path, overrides)
    network, stage = _network(file)
    if base is not None:  # in the file's own word
        named = f"path.pretrain_model_{network}={json.dumps(str(base.resolve()))}"
        file = read_dlas(path, (*overrides, named))
    step = _step(file, network)
    asked: dict[str, Any] = {}  # in our words; it decides about some notes
    _own(file, asked)
    trains_as = str(_inside(asked, "tortoise.trains_as") or "inference")
    runs = path.parent.resolve() / "runs"
    based = base_values(file, stage, step, network)
    values: dict[str, Any] = {
        "stage": stage,
        "name": name_of(file),
        "runs": str(runs),
        "base": based["base"],
        "data": data_values(file, runs),
        "tortoise": voice_values(file, stage, trains_as) | based["tortoise"],
        "training": {
            "optimiser": optimiser_values(file, step) | schedule_values(file),
            "loss": loss_values(file, stage, step),
            **precision_values(file),
            **keep_values(file),
        },
    }
    _apply_rules(file, rules_of(stage, network), stage, values)
    overridden = _own(file, values)
    if not values["base"]:
        raise RecipeError(
            f"{path}: nothing says which checkpoint to begin from",
            expected=f"'pretrain_model_{network}' under 'path'",
            do=f"write 'pretrain_model_{network}: …' there, or give --base FILE",
        )
    _tell_network(file, stage, network, trains_as)
    tell_sizes(file, stage, f"networks.{network}.kwargs", Path(values["base"]))
    _require_valid(file, values)
    return Adopted(values=values, overridden=overridden, notes=notes_of(file, values, overridden, trains_as))


def _network(file: DlasFile) -> tuple[str, Stage]:
    """What the file calls its one network, and which stage that is."""
    networks = file.section("networks")
    if len(networks) != 1:
        raise RecipeError(
            f"{file.where('networks')}: one network is trained at a time",
            expected="one section under 'networks'",
            found=", ".join(networks) or "none",
        )
    name = next(iter(networks))
    key = f"networks.{name}.which_model_G"
    kind = str(file.get(key))
    if kind not in STAGES:
        raise file.wrong(
            key,
            expected=f"one of {', '.join(STAGES)}",
            do="of its other networks Retimbre trains the dVAE and UnivNet, by recipes of their own "
            "(docs/recipes.md)",
        )
    return name, STAGES[kind]


def _step(file: DlasFile, network: str) -> str:
    """The key of the one training step, which must train the network."""
    steps = file.section("steps")
    if len(steps) != 1:
        raise RecipeError(
            f"{file.where('steps')}: there is one step of training",
            expected="one section under 'steps'",
            found=", ".join(steps) or "none",
        )
    step = f"steps.{next(iter(steps))}"
    if file.get(f"{step}.training", network) != network:
        raise file.wrong(f"{step}.training", expected=f"'{network}', which stands under 'networks'")
    file.tell("the same here", f"{step}.training")
    return step


def _own(file: DlasFile, values: dict[str, Any]) -> tuple[str, ...]:
    """What was given in our words, put into `values`; which keys these are."""
    return tuple(apply_override(values, one, place=from_here) for one in file.own_overrides)


def _inside(values: Mapping[str, Any], key: str) -> Any:  # noqa: ANN401 - any value
    inside: Any = values
    for name in key.split("."):
        inside = inside.get(name) if isinstance(inside, Mapping) else None
    return inside


# ---- every line, by the table ------------------------------------------------------------------------------


def _apply_rules(file: DlasFile, rules: Mapping[str, Rule], stage: str, values: dict[str, Any]) -> None:
    for key, value in file.leaves().items():
        rule = rules.get(_pattern(key))
        if key in file.fates:
            continue
        if rule is None:
            _require_no_slip(file, key, rules)
        elif value is None or value == {}:
            file.tell("ignored", key, "nothing is written there")
        elif key.startswith("datasets.val."):
            _apply_to_validation(file, key, rule)
        else:
            _apply(file, key, rule, values)
        if key.endswith(".type") and ".injectors." in key and value not in INJECTORS[stage]:
            raise file.wrong(key, expected=f"one of {', '.join(INJECTORS[stage])}")


def _apply(file: DlasFile, key: str, rule: Rule, values: dict[str, Any]) -> None:
    if isinstance(rule, Honoured):
        put(values, rule.ours, converted(file, key, rule.convert, None))
        remark = f" ({rule.remark})" if rule.remark else ""
        file.tell("honoured", key, f"{rule.ours}{remark}")
    elif isinstance(rule, Same):
        _compare(file, key, rule)
    elif isinstance(rule, Ignored):
        file.tell("ignored", key, rule.why)
    else:
        file.tell("the same here", key)


def _compare(file: DlasFile, key: str, rule: Same) -> None:
    value = file.get(key)
    if any(value == one and type(value) is type(one) for one in rule.accepted) or (
        not isinstance(value, bool) and isinstance(value, int | float) and value in rule.accepted
    ):
        file.tell("the same here", key)
    elif rule.refuses:
        raise file.wrong(key, expected=rule.otherwise)
    else:
        file.tell("changed", key, rule.otherwise)


def _apply_to_validation(file: DlasFile, key: str, rule: Rule) -> None:
    """One list says how both are read; of the other only what it lists counts."""
    name = key.rpartition(".")[2]
    if name in ("batch_size", "n_workers"):
        file.tell("ignored", key, "validation takes one utterance after the other, as in speaking")
    elif isinstance(rule, Same | Ignored):
        _apply(file, key, rule, {})
    elif file.get(key) == file.get(f"datasets.train.{name}"):
        file.tell("the same here", key)
    else:
        file.tell(
            "changed",
            key,
            f"{file.get(f'datasets.train.{name}')}, as in datasets.train, for both lists",
        )


def _pattern(key: str) -> str:
    """The key as the table writes it: chosen names are `*`."""
    names = key.split(".")
    if names[0] in ("steps", "networks") and len(names) > 1:
        names[1] = "*"
    if names[0] == "steps" and len(names) > 3 and names[2] in ("injectors", "losses"):
        names[3] = "*"
    return ".".join(names)


def _require_no_slip(file: DlasFile, key: str, rules: Mapping[str, Rule]) -> None:
    """A word that is nearly a known one is misspelt; any other is of something that is not here."""
    parents, _, last = _pattern(key).rpartition(".")
    known = [name.rpartition(".")[2] for name in rules if name.rpartition(".")[0] == parents]
    close = difflib.get_close_matches(last, known, n=3, cutoff=0.8)
    near = [name for name in close if name not in _beside(file, key)]
    if near:
        raise RecipeError(
            f"{file.where(key)}: unknown key '{key}'", do=f"write '{near[0]}: {str(file.get(key))[:SHOWN]}'"
        )
    file.tell("ignored", key, "Retimbre does not know it")


def _beside(file: DlasFile, key: str) -> set[str]:
    """Words that stand in the same section: they are not what was meant."""
    parent = key.rpartition(".")[0]
    return set(file.section(parent) if parent else file.values)


def put(values: dict[str, Any], key: str, value: Any) -> None:  # noqa: ANN401 - any value
    """Put a value under a dotted key."""
    *parents, last = key.split(".")
    for name in parents:
        values = values.setdefault(name, {})
    values[last] = value


def _tell_network(file: DlasFile, stage: str, network: str, trains_as: str) -> None:
    kind = f"networks.{network}.which_model_G"
    extra = file.get(kind) in ("unified_voice3", "unified_voice4")
    head = "; its alignment head is not trained" if extra else ""
    file.tell("changed" if extra else "honoured", kind, f"stage {stage}{head}")
    kwargs = f"networks.{network}.kwargs"
    wants = trains_as == AS_DLAS
    key = f"{kwargs}.tortoise_compat"
    if file.get(key) is not None:
        same = file.get(key) is wants
        place = "all the padding" if wants else "the last code of the recording, not after its padding"
        text = "" if same else f"{wants}".lower() + f": the stop comes after {place}"
        file.tell("the same here" if same else "changed", key, text)
    key = f"{kwargs}.average_conditioning_embeddings"
    if file.get(key) is not None:
        averages = not wants
        same = file.get(key) is averages
        file.tell("the same here" if same else "changed", key, "" if same else f"{averages}".lower())


def _require_valid(file: DlasFile, values: Mapping[str, Any]) -> None:
    """What our recipe refuses, by the line of the file that said it."""
    try:
        Recipe.model_validate(values)
    except ValidationError as error:
        told = ((key, fate) for key, fate in file.fates.items() if fate.kind == "honoured")
        origins = {fate.text.split(" ")[0]: key for key, fate in told}
        own = {split_override(one)[0] for one in file.own_overrides}
        for one in error.errors():
            ours = ".".join(str(part) for part in one["loc"])
            if ours in origins and ours not in own:
                raise file.wrong(origins[ours], expected=one["msg"]) from error

"""Arguments that several commands share."""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from retimbre.cli.later import NOT_TRAINED, not_covered
from retimbre.errors import CheckpointError, RecipeError, RunError

if TYPE_CHECKING:
    from retimbre.jobs.listener import Listener
    from retimbre.models.adapter import Adapter
    from retimbre.recipe.recipe import Recipe

STAGES = ("text-to-spec", "spec-to-wav", "text-to-codes", "codes-to-spec", "wav-to-codes")
STAGE_HELP = "text-to-spec or spec-to-wav; of TorToiSe: text-to-codes, codes-to-spec or wav-to-codes"
STAGE = Annotated[str, typer.Argument(help=f"{STAGE_HELP}.")]
CONFIG_HELP = (
    "A recipe (YAML), or a model's file of an EveryVoice project as it is: "
    "config/everyvoice-text-to-spec.yaml or config/everyvoice-spec-to-wav.yaml (or .json)."
)
CONFIG = Annotated[Path, typer.Argument(help=CONFIG_HELP)]
OVERRIDES = Annotated[
    list[str] | None,
    typer.Option(
        "-c",
        "--config-args",
        help="key=value on top of CONFIG, for instance training.steps=2000. In EveryVoice's files its own "
        "keys; may be repeated.",
    ),
]
ACCELERATOR = Annotated[str, typer.Option("--accelerator", "-a", help="auto, cpu, gpu, cuda, mps.")]
DEVICES = Annotated[str, typer.Option("--devices", "-d", help="One device trains: auto or 1.")]
NODES = Annotated[int, typer.Option("--nodes", "-n", min=1, help="One machine trains: 1.")]
STRATEGY = Annotated[
    str, typer.Option("--strategy", "-s", help="Of several devices; one needs none: auto or ddp.")
]
ADAPTER_FORM = "FILE[=STRENGTH]"
ONE_DEVICE = {"auto", "-1", "1", "0", "0,"}  # -1: all that there are, of which one is used
NO_STRATEGY = ("auto", "ddp", "single_device")


def require_stage(stage: str) -> None:
    """It must be one that we have."""
    if stage == "text-to-wav":
        raise not_covered("text-to-wav", NOT_TRAINED)
    if stage not in STAGES:
        raise RecipeError(f"there is no stage '{stage}'", expected=" or ".join(STAGES), found=stage)


def check_stage(stage: str, recipe: "Recipe") -> None:
    """The stage on the command line must be the recipe's own."""
    require_stage(stage)
    if recipe.stage != stage:
        raise RecipeError(
            "the recipe is for another stage",
            expected=f"stage: {stage}",
            found=f"stage: {recipe.stage}",
            do=f"write {recipe.stage} instead of {stage}, or give a recipe of {stage}",
        )


def noted_recipe(
    config: Path, overrides: Iterable[str] | None, listener: "Listener", *, base: Path | None = None
) -> "Recipe":
    """The recipe in CONFIG; what its reader should know about it is said."""
    from retimbre.recipe.read import read_recipe, recipe_notes

    given = tuple(overrides or ())
    recipe = read_recipe(config, given, base=base)
    for note in recipe_notes(config, given, base=base):
        listener.say("Note", note)
    return recipe


def apart(config: Path, overrides: Iterable[str] | None, *, base: Path | None = None) -> list[str]:
    """Overrides of a match; of EveryVoice's files with a name apart from that of the vocoder's own run."""
    from retimbre.recipe.everyvoice_places import MATCHED
    from retimbre.recipe.read import read_recipe, recipe_notes

    given = list(overrides or ())
    name = read_recipe(config, given, base=base).name
    is_named = name.endswith(MATCHED) or any(one.startswith("name=") for one in given)
    is_ours = not recipe_notes(config, given, base=base)
    return given if is_named or is_ours else [*given, f"name={name}{MATCHED}"]


def assumed_values(given: Iterable[str]) -> dict[str, Any]:
    """NAME=VALUE as `--assume` takes it: values as in JSON, or else as text."""
    stated: dict[str, Any] = {}
    for one in given:
        name, equals, value = one.partition("=")
        if not equals or not name:
            raise CheckpointError(
                f"--assume {one} says nothing",
                expected="NAME=VALUE",
                found=one,
                do="retimbre inspect FILE --assume heads=16",
            )
        try:
            stated[name] = json.loads(value)
        except ValueError:
            stated[name] = value
    return stated


def adapters_in(given: Iterable[str]) -> tuple["Adapter", ...]:
    """FILE or FILE=STRENGTH as `--adapter` takes it; 1 is as strong as it was learnt."""
    from retimbre.models.adapter import read_adapter

    found = []
    for one in given:
        file, equals, strength = one.rpartition("=")
        if not equals or Path(one).exists():
            file, strength = one, "1"
        if not re.fullmatch(r"-?[0-9]{1,4}(\.[0-9]+)?|\.[0-9]+", strength):
            raise CheckpointError(
                f"--adapter {one} says no strength",
                expected="FILE or FILE=NUMBER",
                found=strength,
                do="write --adapter my-voice.safetensors=0.5",
            )
        found.append(read_adapter(file, strength=float(strength)))
    return tuple(found)


def require_one_device(devices: str, nodes: int = 1, strategy: str = "auto") -> None:
    """Raise RunError where more than one device is asked for: nobody should wait for what will not come."""
    asked = devices.replace(" ", "").strip("[]")
    if asked not in ONE_DEVICE:
        raise RunError(
            f"--devices {devices}: Retimbre trains on the first device",
            expected="auto or 1",
            found=devices,
            do="choose another one by the variable CUDA_VISIBLE_DEVICES, as in CUDA_VISIBLE_DEVICES=2",
        )
    if nodes != 1:
        raise RunError(f"--nodes {nodes}: Retimbre trains on one machine", expected="1", found=str(nodes))
    if not strategy.startswith(NO_STRATEGY):
        raise RunError(
            f"--strategy {strategy}: one device needs none",
            expected="auto or ddp",
            found=strategy,
            do="leave it out",
        )

"""What the experiments share: minutes of LJ Speech, the starter voice, and how a vocoder is judged on it."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from jaxtyping import Float
from safetensors.torch import load_file
from torch import Tensor

from retimbre.audio.files import load_audio
from retimbre.checkpoint.fill import load_weights
from retimbre.data.utterance import Utterance
from retimbre.evaluate.measures import available_measures, measured
from retimbre.evaluate.table import Scores, scores
from retimbre.models.load import Loaded, load_model
from retimbre.pipelines.delay import advanced
from retimbre.pipelines.everyvoice import vocode
from retimbre.pipelines.teacher_forcing import teacher_forced_specs
from retimbre.recipe.read import read_recipe
from retimbre.recipe.recipe import Recipe
from retimbre.training.material import Material
from retimbre.training.state import complete_checkpoints

ROOT = Path(__file__).resolve().parents[1]
RUNS = ROOT / "runs" / "experiments"
DATA = ROOT.parent / "shared" / "data" / "ljspeech-mini"
HELD_OUT = (  # the eight shortest: all others together are four minutes
    "LJ002-0020", "LJ002-0035", "LJ001-0002", "LJ014-0285",
    "LJ001-0011", "LJ001-0020", "LJ001-0004", "LJ050-0269",
)  # fmt: skip
SEED = 1


def recipe_of(name: str, folder: Path, *, minutes: float | None = None, **training: object) -> Recipe:
    """A recipe of this repository on so many minutes of speech, with another training section."""
    recipe = read_recipe(ROOT / "recipes" / f"{name}.yaml")
    data = recipe.data.model_copy(
        update={
            "filelist": part_of_the_list(folder, minutes),
            "preprocessed": folder / "preprocessed",
            "held_out": HELD_OUT,
        }
    )
    optimiser = recipe.training.optimiser.model_copy(update=training.pop("optimiser", {}))
    settings = recipe.training.model_copy(update={**training, "optimiser": optimiser})
    return recipe.model_copy(update={"data": data, "runs": folder, "training": settings})


def part_of_the_list(folder: Path, minutes: float | None) -> Path:
    """The held-out utterances, and others in a fixed random order until they are so long together."""
    lines = (DATA / "metadata.csv").read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if line.partition("|")[0] in HELD_OUT]
    others = [line for line in lines if line.partition("|")[0] not in HELD_OUT]
    random.Random(SEED).shuffle(others)
    seconds = 0.0
    for line in others:
        seconds += load_audio(DATA / "wavs" / f"{line.partition('|')[0]}.wav").duration_s
        if minutes is not None and seconds > 60 * minutes:
            break
        kept.append(line)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "metadata.csv"
    path.write_text("\n".join(kept) + "\n", encoding="utf-8")
    return path


def vocoders_of(run: Path, name: str) -> dict[str, Loaded]:
    """Every checkpoint of a vocoder's run, as {"name 150": vocoder}."""
    return {f"{name} {step}": loaded for step, loaded in at_steps(run, "generator").items()}


def at_steps(run: Path, part: str) -> dict[int, Loaded]:
    """The model of a run with the weights of each step that was kept."""
    steps = {int(path.name.removeprefix("step-")): path for path in complete_checkpoints(run)}
    return {step: _with_weights(run, path, part) for step, path in steps.items()}


def newest(run: Path, part: str) -> Loaded:
    """The model of a run with the weights of its last step."""
    return _with_weights(run, complete_checkpoints(run)[-1], part)


def _with_weights(run: Path, checkpoint: Path, part: str) -> Loaded:
    loaded = load_model(run / "model.safetensors")
    tensors = load_file(checkpoint / "model.safetensors")
    start = f"{part}."
    own = {key.removeprefix(start): tensor for key, tensor in tensors.items() if key.startswith(start)}
    load_weights(loaded.model, own)
    return replace(loaded, path=checkpoint)


def judged(
    material: Material,
    vocoders: Mapping[str, Loaded],
    text_to_spec: Loaded | None,
    *,
    delays: Mapping[str, int] | None = None,
) -> Scores:
    """All held-out utterances through all vocoders: of produced specs, or of real ones without a model.

    `delays` in samples are taken out before.
    """
    specs = _specs(material.held_out, material, text_to_spec)
    found: dict[str, dict[str, dict[str, float]]] = {}
    for u in material.held_out:
        recording = material.store.load_audio(u, material.mel)
        for name, vocoder in vocoders.items():
            audio = advanced(vocode(specs[u], vocoder), (delays or {}).get(name, 0))
            found.setdefault(u.basename, {})[name] = measured(recording, audio, material.mel)
    return scores(available_measures(), list(vocoders), found)


def _specs(
    utterances: Sequence[Utterance], material: Material, text_to_spec: Loaded | None
) -> dict[Utterance, Float[Tensor, "mels frames"]]:
    if text_to_spec is None:
        return {u: material.store.load_spec(u, material.mel) for u in utterances}
    return dict(teacher_forced_specs(utterances, material.store, text_to_spec))

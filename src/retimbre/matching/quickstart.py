"""The whole job with the bundled starter voice: prepare, tune text-to-spec, match the vocoder, report."""

from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from retimbre.errors import DataError, RunError
from retimbre.jobs.listener import Listener
from retimbre.matching.match import Matched, MatchRequest, match
from retimbre.recipe.recipe import Data, Recipe
from retimbre.recipe.training import LossWeights, Optimiser, Training
from retimbre.starter.find import speech_pack, starter_spec_to_wav, starter_text_to_spec
from retimbre.training.material import prepare_material
from retimbre.training.run import seconds_per_step, start
from retimbre.training.train import stage_job

TUNING_SHARE = 0.4  # of the time for training; matched and control share the rest
MOST_TUNING_STEPS = 600
HELD_OUT_FRACTION = 0.2
STARTER_LOSS = LossWeights(mel=30.0, multi_scale=15.0)  # what the starter vocoder was trained with
TUNING_RATE = 1e-4  # at 5e-4 the voice comes nearer a little sooner, and loses words (docs/results.md)
LISTS = ("metadata.csv", "filelist.psv", "metadata.psv")
SYNTHETIC = (
    "This speaker is synthetic: sentences rendered by the program flite with a CMU voice. What is measured "
    "on it shows that the tools work, not how well they would do on a person."
)
SHORT = "Minutes of training on a small starter voice: expect a demonstration, not a voice to ship."


@dataclass(frozen=True, kw_only=True)
class Quickstart:
    """What was asked for.

    Args:
        audio: Folder with recordings; none: the bundled speaker.
        filelist: Their texts; none: a list beside the recordings.
        folder: Where everything goes.
        training_s: Time for all the training, in seconds.
    """

    audio: Path | None = None
    filelist: Path | None = None
    folder: Path = Path("quickstart")
    training_s: float = 300.0
    device: str = "auto"


def run_quickstart(asked: Quickstart, *, listener: Listener) -> Matched:
    """Do the whole job in a folder of its own."""
    began = monotonic()
    folder = _unused(asked.folder)
    data, notes = _data(asked, folder)
    listener.say(
        "Quickstart", f"everything goes to {folder}; training takes about {asked.training_s / 60:.0f} min"
    )
    tuned = _tune(asked, data, folder, listener)
    recipe = Recipe(
        stage="spec-to-wav",
        name="match",
        runs=folder,
        base=starter_spec_to_wav(),
        data=data,
        training=Training(batch_size=8, loss=STARTER_LOSS),
    )
    request = MatchRequest(
        recipe=recipe,
        spec_model=tuned,
        base_spec_model=starter_text_to_spec(),
        budget_s=asked.training_s * (1 - TUNING_SHARE) / 2,
        is_forced=True,
        device=asked.device,
        notes=(*notes, SHORT),
    )
    matched = match(request, listener=listener)
    listener.say("Done", f"in {(monotonic() - began) / 60:.1f} min")
    if matched.report is not None:
        listener.say("Report", f"{matched.report} (open it in a browser)")
        listener.say(
            "Next", f"retimbre synthesize from-text {tuned} --vocoder-path {matched.model} -t 'Good morning.'"
        )
    return matched


def _tune(asked: Quickstart, data: Data, folder: Path, listener: Listener) -> Path:
    """Text-to-spec, tuned to the speaker for as long as its share of the time allows."""
    settings = Training(
        steps=MOST_TUNING_STEPS,
        batch_size=8,
        optimiser=Optimiser(
            learning_rate=TUNING_RATE, betas=(0.9, 0.98), weight_decay=1e-6, schedule="cosine"
        ),
        validate_every_steps=10_000,
        checkpoint_every_steps=10_000,
    )
    recipe = Recipe(
        stage="text-to-spec",
        name="tune",
        runs=folder,
        base=starter_text_to_spec(),
        data=data,
        training=settings,
    )
    job = stage_job(recipe, listener=listener)
    seconds = seconds_per_step(recipe, job, device=asked.device)
    n_steps = max(20, min(MOST_TUNING_STEPS, int(asked.training_s * TUNING_SHARE / seconds)))
    every = max(1, n_steps // 4)
    updated = {"steps": n_steps, "validate_every_steps": every, "checkpoint_every_steps": n_steps}
    recipe = recipe.model_copy(update={"training": settings.model_copy(update=updated)})
    listener.say(
        "Tuning", f"text-to-spec, {n_steps} steps of {seconds:.2f} s: what fits into its share of the time"
    )
    material = prepare_material(recipe, mel=job.description.mel)
    finished = start(
        recipe,
        stage_job(recipe, listener=listener, material=material),
        listener=listener,
        device=asked.device,
    )
    if finished.was_interrupted:
        raise RunError(
            "stopped while tuning", do="start again: the quickstart is not resumed, and nothing is lost"
        )
    return finished.model


def _data(asked: Quickstart, folder: Path) -> tuple[Data, tuple[str, ...]]:
    """Where recordings and texts are, and what the report must say about them."""
    preprocessed = folder / "preprocessed"
    if asked.audio is None:
        pack = speech_pack()
        data = Data(
            recordings=pack.recordings,
            filelist=pack.filelist,
            held_out=pack.held_out,
            preprocessed=preprocessed,
            trims_silence=True,
        )
        return data, (SYNTHETIC,)
    filelist = asked.filelist or _list_beside(asked.audio)
    data = Data(
        recordings=asked.audio.resolve(),
        filelist=filelist.resolve(),
        held_out_fraction=HELD_OUT_FRACTION,
        preprocessed=preprocessed,
    )
    return data, ()


def _list_beside(audio: Path) -> Path:
    for folder in (audio, audio.parent):
        for name in LISTS:
            if (folder / name).is_file():
                return folder / name
    raise DataError(
        f"there is no list of texts beside {audio}",
        expected=f"one of {', '.join(LISTS)}",
        do="write one line per recording, 'basename|text|text', and name it with --filelist FILE",
    )


def _unused(folder: Path) -> Path:
    """The folder, or the first numbered one that is free: no run writes over another."""
    folder = folder.resolve()
    candidates = [folder, *(folder.with_name(f"{folder.name}-{n}") for n in range(2, 1000))]
    for candidate in candidates:
        if not candidate.exists() or not any(candidate.iterdir()):
            candidate.mkdir(parents=True, exist_ok=True)
            return candidate
    raise RunError(f"there are a thousand folders like {folder}", do="remove some, or give --output-dir")

"""What the mel loss gains by comparing each frame with itself, and not the one before, as EveryVoice does.

    python benchmarks/experiment_alignment.py                # half an hour on two cores
    python benchmarks/experiment_alignment.py --steps 20

Two vocoders go on from the starter's, from the same seed, on real specs of LJ Speech with EveryVoice's loss
weights; only the frames that the mel loss pairs differ. After every quarter of the steps: how late do they
answer, and how far are held-out recordings, before and after that delay is taken out?
"""

import argparse
import shutil
import sys
from dataclasses import replace
from pathlib import Path

from experiment_matching import cell
from on_ljspeech import RUNS, judged, recipe_of, vocoders_of
from torch import Tensor

from retimbre.audio.mel import MelSpec, log_mel
from retimbre.cli.console import Console
from retimbre.errors import RetimbreError
from retimbre.evaluate.measures import F0_ERROR, MCD, MEL_DISTANCE, PERCEPTUAL, PERIODICITY, PESQ
from retimbre.matching.judge import delay_of
from retimbre.models.hifigan.batch import VocoderBatch
from retimbre.models.load import Loaded, load_model
from retimbre.nn.judges import Wave
from retimbre.training.hifigan import SpecToWavObjective
from retimbre.training.material import Material, prepare_material
from retimbre.training.objective import Progress
from retimbre.training.run import start
from retimbre.training.train import stage_job

SHOWN = (MCD, MEL_DISTANCE, PERCEPTUAL, PERIODICITY, F0_ERROR, PESQ)
EVERYVOICES_LOSS = {"mel": 45.0, "multi_scale": 0.0}


class OneHopLate(SpecToWavObjective):
    """The mel loss of EveryVoice 0.5.0: frame k + 1 of what is generated against frame k of the recording."""

    def _generate(self, batch: VocoderBatch, fake: Wave, progress: Progress) -> dict[str, Tensor]:
        losses = super()._generate(batch, fake, progress)
        return {**losses, "mel": self.settings.loss.mel * one_hop_late(fake, batch.wave, self.mel)}


def one_hop_late(generated: Wave, recorded: Wave, mel: MelSpec) -> Tensor:
    """Of the centred frames of a segment, EveryVoice drops the first; of the recording's, the last."""
    whole = replace(mel, drops_last_frame=False)
    return (log_mel(generated, whole)[..., 1:] - log_mel(recorded, whole)[..., :-1]).abs().mean()


def main() -> None:
    """Train both, print one row per vocoder and number of steps."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=300)
    given = parser.parse_args()
    folder = RUNS / "alignment"
    shutil.rmtree(folder, ignore_errors=True)
    vocoders: dict[str, Loaded] = {}
    for name, is_late in (("aligned", False), ("late", True)):
        run = trained(name, folder, given.steps, is_late=is_late)
        vocoders |= vocoders_of(run, name)
    recipe = recipe_of("ljspeech-mini-match", folder)
    vocoders = {"before": load_model(recipe.base or ""), **vocoders}
    material = prepare_material(recipe, mel=vocoders["before"].description.mel)
    report(material, vocoders, given.steps)


def trained(name: str, folder: Path, n_steps: int, *, is_late: bool) -> Path:
    """The folder of one run."""
    every = n_steps // 4
    recipe = recipe_of(
        "ljspeech-mini-match",
        folder,
        steps=n_steps,
        precision="bf16-mixed",
        spec_source="real",
        optimiser={"learning_rate": 1e-4},
        validate_every_steps=every,
        checkpoint_every_steps=every,
        keep_checkpoints=4,
    )
    loss = recipe.training.loss.model_copy(update=EVERYVOICES_LOSS)
    settings = recipe.training.model_copy(update={"loss": loss})
    recipe = recipe.model_copy(update={"name": name, "training": settings})
    job = stage_job(recipe, listener=Console())
    if is_late:
        ours = job.objective
        if not isinstance(ours, SpecToWavObjective):
            raise TypeError(f"a vocoder's objective is {type(ours).__name__}")
        late = OneHopLate(ours.generator, ours.discriminators, ours.mel, ours.settings, ours.validation)
        job = replace(job, objective=late)
    return start(recipe, job, listener=Console()).run


def report(material: Material, vocoders: dict[str, Loaded], n_steps: int) -> None:
    """Delays, means with the delay left in, and the difference of the last two with it taken out."""
    as_they_are = judged(material, vocoders, None)
    measures = [measure for measure in SHOWN if measure in as_they_are.measures]
    names = " | ".join(f"{measure.name}, {measure.unit}" for measure in measures)
    print(f"on real specs\n| vocoder | delay, samples | correlation | {names} |")
    delays = {name: delay_of(vocoder, material) for name, vocoder in vocoders.items()}
    for name, delay in delays.items():
        means = " | ".join(
            f"{as_they_are.mean(measure, name):.{measure.n_decimals}f}" for measure in measures
        )
        print(f"| {name} | {delay.n_samples:+d} | {delay.correlation:.2f} | {means} |")
    advanced = judged(
        material, vocoders, None, delays={name: delay.n_samples for name, delay in delays.items()}
    )
    for what, found in (("as they are", as_they_are), ("each without its delay", advanced)):
        cells = [cell(found, measure, f"aligned {n_steps}", f"late {n_steps}") for measure in measures]
        print(f"| aligned − late, {what} | | | {' | '.join(cells)} |")


if __name__ == "__main__":
    try:
        main()
    except RetimbreError as error:
        sys.exit(f"error: {error}")

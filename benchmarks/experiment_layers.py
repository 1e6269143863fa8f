"""Which layers of text-to-spec to tune with little data, and at which learning rate.

    python benchmarks/experiment_layers.py                 # half an hour on two cores
    python benchmarks/experiment_layers.py --steps 20

The starter text-to-spec model is tuned to four minutes of LJ Speech in several ways. Each then reads thirty
sentences that no training has seen through the starter's vocoder: how many words does a recogniser get wrong,
and how much does it sound like the speaker? The newest weights are taken, not those that a validation chose.
"""

import argparse
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from jaxtyping import Float
from measure_intelligibility import read_aloud, similarities, sound_files, understood
from on_ljspeech import DATA, RUNS, newest, recipe_of
from torch import Tensor

from retimbre.audio.files import load_audio
from retimbre.cli.console import Console
from retimbre.errors import RetimbreError
from retimbre.evaluate.intelligibility import Recogniser, load_recogniser
from retimbre.evaluate.speaker import SpeakerEncoder, load_speaker_encoder, voice_of
from retimbre.models.load import Loaded, load_model
from retimbre.pipelines.everyvoice import EveryVoiceChain
from retimbre.report.numbers import number
from retimbre.starter.find import starter_spec_to_wav, starter_text_to_spec
from retimbre.training.journal import read_journal
from retimbre.training.train import train_stage

ENCODER = ("text_input_layer", "encoder")
ATTENTION = "variance_adaptor.attention"
PREDICTORS = tuple(f"variance_adaptor.{name}_predictor" for name in ("duration", "pitch", "energy"))


@dataclass(frozen=True, kw_only=True)
class Way:
    """What moves, and how fast."""

    name: str
    frozen: tuple[str, ...]
    rate: float = 5e-4


WAYS = (
    Way(name="everything", frozen=()),
    Way(name="everything, 1e-4", frozen=(), rate=1e-4),
    Way(name="all but the encoder", frozen=ENCODER),
    Way(name="all but encoder and aligner", frozen=(*ENCODER, ATTENTION)),
    Way(name="only the decoder", frozen=(*ENCODER, "variance_adaptor")),
    Way(name="only the predictors", frozen=(*ENCODER, ATTENTION, "decoder", "mel_linear")),
)


def main() -> None:
    """One row per way."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=4.0)
    given = parser.parse_args()
    recognise, encoder = load_recogniser(), load_speaker_encoder()
    voice = voice_of(encoder, [load_audio(path) for path in sound_files(DATA)])
    found = {"not tuned": (load_model(starter_text_to_spec()), float("nan"))}
    for way in WAYS:
        found[way.name] = tuned(way, given.steps, given.minutes)
    print("| tuned | spec distance, validation | word error rate, % (95 %) | similarity to the speaker |")
    for name, (model, distance) in found.items():
        print(row(name, model, distance, recognise, encoder, voice))


def tuned(way: Way, n_steps: int, minutes: float) -> tuple[Loaded, float]:
    """The newest weights of one run, and how far its last validation was from real specs."""
    name = "".join(char if char.isalnum() else "-" for char in way.name)
    folder = RUNS / "layers" / name
    shutil.rmtree(folder, ignore_errors=True)
    recipe = recipe_of(
        "ljspeech-mini-text-to-spec",
        folder,
        minutes=minutes,
        steps=n_steps,
        batch_size=4,
        precision="bf16-mixed",
        frozen=way.frozen,
        optimiser={"learning_rate": way.rate},
        validate_every_steps=n_steps,
        checkpoint_every_steps=n_steps,
    )
    train_stage(recipe, listener=Console())
    run: Path = folder / recipe.name
    last = [line for line in read_journal(run, kind="validation")][-1]
    return newest(run, "model"), float(last["score"])


def row(
    name: str,
    model: Loaded,
    distance: float,
    recognise: Recogniser,
    encoder: SpeakerEncoder,
    voice: Float[Tensor, "dim"],
) -> str:
    """Thirty sentences, read and judged."""
    chain = EveryVoiceChain(text_to_spec=model, spec_to_wav=load_model(starter_spec_to_wav()))
    spoken = read_aloud(chain)
    rate = understood(spoken, recognise)
    similarity = mean(similarities(spoken, encoder, voice))
    return (
        f"| {name} | {number(distance, 3)} | {rate.percent:.1f} ({rate.low:.1f} to {rate.high:.1f}) "
        f"| {similarity:.3f} |"
    )


if __name__ == "__main__":
    try:
        main()
    except RetimbreError as error:
        sys.exit(f"error: {error}")

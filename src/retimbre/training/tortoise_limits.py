"""What TorToiSe's stages cannot learn from, and why: texts and recordings too long, signs without a piece,
speakers that nothing else is heard of."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from retimbre.data.prepare import LeftOut
from retimbre.data.utterance import Utterance
from retimbre.errors import DataError
from retimbre.models.tortoise_ar.config import UnifiedVoiceConfig
from retimbre.pipelines.encoding import DLAS_SAMPLES
from retimbre.pipelines.tortoise_voice_clips import AUTO_MEL
from retimbre.text.readable import Readable
from retimbre.training.parts import Parts

DLAS_SYMBOLS = 200  # DL-Art-School pads every text to so many
N_SHOWN = 40  # characters of a text


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The longest that can be learnt from.

    Args:
        max_symbols: Of a text, without start, stop and the end that speaking adds.
        max_codes: Of a recording, without start and stop.
        max_samples: Of a recording that is padded; None: it is not.
    """

    max_symbols: int
    max_codes: int
    samples_per_code: int
    max_samples: int | None = None

    @classmethod
    def of(cls, config: UnifiedVoiceConfig, trains_as: str) -> "Limits":
        """Of a network; `dlas` pads texts and recordings to lengths of its own."""
        is_padded = trains_as == "dlas"
        max_symbols = config.max_symbols - 1  # one place is for the end
        return cls(
            max_symbols=min(DLAS_SYMBOLS, max_symbols) if is_padded else max_symbols,
            max_codes=config.max_codes,
            samples_per_code=config.samples_per_code,
            max_samples=DLAS_SAMPLES if is_padded else None,
        )

    def why_no_text(self, utterance: Utterance, readable: Readable) -> str | None:
        """Why a text cannot be learnt from; None: it can."""
        if not utterance.text.strip():
            return "no text"
        if readable.is_silent:
            return f"nothing to speak in its text ({utterance.text[:N_SHOWN]})"
        if readable.unknown:
            return f"signs without a piece in the vocabulary ({' '.join(map(_shown, readable.unknown))})"
        if len(readable.rows) > self.max_symbols:
            return f"text of more than {self.max_symbols} pieces ({len(readable.rows)})"
        return None

    def why_no_recording(self, n_samples: int) -> str | None:
        """Why a prepared recording cannot be learnt from; None: it can."""
        rate_hz = AUTO_MEL.sample_rate_hz
        if reason := why_no_spec(n_samples):
            return reason
        if self.max_samples is not None and n_samples > self.max_samples:
            limit_s = self.max_samples / rate_hz
            return f"longer than the {limit_s:.2f} s that DL-Art-School takes ({n_samples / rate_hz:.2f} s)"
        n_codes = n_samples // self.samples_per_code + 1
        if n_codes > self.max_codes:
            return f"longer than the {self.max_codes} codes that the network has places for ({n_codes})"
        return None


def why_no_spec(n_samples: int) -> str | None:
    """Why a prepared recording has no spec; None: it has one."""
    fewest = AUTO_MEL.fewest_samples
    return f"too short for a spec of {fewest} samples ({n_samples})" if n_samples < fewest else None


def without_voiceless(parts: Parts) -> tuple[Parts, list[LeftOut]]:
    """Only utterances of whose speaker another recording is learnt from: the voice is heard from it."""
    n_learnt = Counter(utterance.speaker for utterance in parts.training)
    heard = {speaker for speaker, n in n_learnt.items() if n > 1}
    every = dict.fromkeys((*parts.training, *parts.validation, *parts.held_out))
    left_out = [
        LeftOut(utterance=utterance, reason=f"no other recording of the speaker ({utterance.speaker})")
        for utterance in every
        if utterance.speaker not in heard
    ]
    kept = Parts(
        training=tuple(utterance for utterance in parts.training if utterance.speaker in heard),
        validation=tuple(utterance for utterance in parts.validation if utterance.speaker in heard),
        held_out=tuple(utterance for utterance in parts.held_out if utterance.speaker in heard),
    )
    return kept, left_out


def require_voices(parts: Parts) -> None:
    """Raise DataError where nothing remains of a part after that."""
    counts = len(parts.training), len(parts.validation), len(parts.held_out)
    if not all(counts):
        raise DataError(
            "of too few utterances another recording tells the voice",
            expected="speakers of whom two recordings are learnt from, and others to choose and measure by",
            found=f"{counts[0]} to train on, {counts[1]} to choose by, {counts[2]} held out",
            do="add recordings, hold out others, or let a voice be heard from the recording itself: "
            "tortoise.hears_itself",
        )


def counted(left_out: Sequence[LeftOut]) -> str:
    """How many were left out for each reason, the commonest first."""
    kinds = Counter(left.reason.partition(" (")[0] for left in left_out)
    return ", ".join(f"{n} {kind}" for kind, n in kinds.most_common())


def _shown(sign: str) -> str:
    return sign if sign.isprintable() and not sign.isspace() else f"U+{ord(sign[0]):04X}"

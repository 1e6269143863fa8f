"""Every utterance of a list looked at before anything is prepared: what is odd, and by what number."""

import hashlib
import math
import statistics
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from jaxtyping import Float
from torch import Tensor

from retimbre.audio.energy import energy
from retimbre.audio.files import probe
from retimbre.audio.mel import MelSpec, log_mel
from retimbre.audio.pitch import pitch_hz
from retimbre.data.features import PrepareOptions, prepared_audio
from retimbre.data.one_utterance import find_recording
from retimbre.data.prepare import RecordedSet
from retimbre.data.text_check import missing_in
from retimbre.data.utterance import Utterance
from retimbre.errors import AudioError, DataError, TextError
from retimbre.jobs.local import map_items
from retimbre.text.ipa import split_ipa
from retimbre.text.reading import Reading
from retimbre.text.symbols import SymbolTable

FEWEST_RATES = 8  # below, nobody knows what is usual
ODD_SPREADS = 4.0  # so many times the usual spread of the logarithm of the speaking rate ...
ODD_RATIO = 1.5  # ... and at least so many times faster or slower than the middle
MAD_TO_STD = 1.4826


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Where the frames of one recording lie; `std` is NaN for a single one."""

    min: float
    max: float
    mean: float
    std: float

    @classmethod
    def of(cls, values: Float[Tensor, "frames"]) -> "Spread":
        """Of one value per frame."""
        std = float(values.std()) if len(values) > 1 else math.nan
        return cls(min=float(values.min()), max=float(values.max()), mean=float(values.mean()), std=std)

    def named(self, start: str) -> dict[str, float | None]:
        """For JSON, under EveryVoice's names."""
        found = {"min": self.min, "max": self.max, "mean": self.mean, "std": self.std}
        return {f"{start}_{name}": value if math.isfinite(value) else None for name, value in found.items()}


@dataclass(frozen=True, kw_only=True)
class Heard:
    """What a recording is.

    Args:
        duration_s: As it would be trained on; None where it cannot be.
        n_clipped: Samples of the recording itself that lie in runs at its limits.
        pitch: In hertz, interpolated where there is no voice; None where it was not asked for.
        energy: As the models know it; None where it was not asked for.
        problem: Why preparing leaves it out.
        digest: Of its bytes.
    """

    duration_s: float | None = None
    clipped_share: float = 0.0
    n_clipped: int = 0
    pitch: Spread | None = None
    energy: Spread | None = None
    problem: str | None = None
    digest: str | None = None


@dataclass(frozen=True, kw_only=True)
class Checked:
    """One utterance and what was found.

    Args:
        missing: Symbols that the model lacks, each with how often it is there; None without a table.
        findings: A sentence for each thing that is odd.
    """

    utterance: Utterance
    heard: Heard
    missing: dict[str, int] | None = None
    findings: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """What is said, as the list has it."""
        return self.utterance.text or self.utterance.phones or ""

    @property
    def rate_hz(self) -> float | None:
        """Characters (or phones, where the list has nothing else) per second."""
        n_signs = sum(not sign.isspace() for sign in self.text)
        return n_signs / self.heard.duration_s if self.heard.duration_s and n_signs else None

    def to_dict(self) -> dict[str, Any]:
        """For JSON, under EveryVoice's names where it has them."""
        utterance, heard = self.utterance, self.heard
        n_words = len(self.text.split())
        return {
            "basename": utterance.basename,
            "language": utterance.language,
            "speaker": utterance.speaker,
            "characters": utterance.text,
            "phones": utterance.phones,
            "duration": heard.duration_s,
            "clipped_share": heard.clipped_share,
            "total_clipped_samples": heard.n_clipped,
            **(heard.pitch.named("pitch") if heard.pitch else {}),
            **(heard.energy.named("energy") if heard.energy else {}),
            "n_words": n_words,
            "n_chars": len(self.text),
            **self._phones(),
            "speaking_rate_words_per_second": n_words / heard.duration_s if heard.duration_s else None,
            "speaking_rate_characters_per_second": self.rate_hz,
            "n_missing_symbols": None if self.missing is None else sum(self.missing.values()),
            "missing_symbols": None if self.missing is None else sorted(self.missing),
            "findings": self.findings,
        }

    def _phones(self) -> dict[str, float | int | None]:
        """How many the list gives, where it gives any."""
        if not self.utterance.phones:
            return {}
        n_phones = sum(not phone.isspace() for phone in split_ipa(self.utterance.phones))
        rate_hz = n_phones / self.heard.duration_s if self.heard.duration_s else None
        return {"n_phones": n_phones, "speaking_rate_phones_per_second": rate_hz}


def check_sets(
    sets: Sequence[RecordedSet],
    mel: MelSpec,
    *,
    table: SymbolTable | None = None,
    reading: Reading | None = None,
    output_mel: MelSpec | None = None,
    has_prosody: bool = False,
    n_workers: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[Checked]:
    """Listen to every recording and read every text. Nothing is written.

    Args:
        table: What the model knows; without it symbols are not looked up.
        output_mel: Of a vocoder's output, where that has a higher rate.
        has_prosody: Measure pitch and energy of each recording, too.
        on_progress: Called with how many recordings are heard, and how many there are.
    """
    n_all = sum(len(one.utterances) for one in sets)
    checked: list[Checked] = []
    for one in sets:
        listen = partial(
            hear,
            recordings=one.recordings,
            mel=mel,
            options=one.options,
            output_mel=output_mel,
            has_prosody=has_prosody,
        )
        names = [utterance.basename for utterance in one.utterances]
        n_useful = n_workers if len(names) > 2 * FEWEST_RATES else 1
        for utterance, heard in zip(
            one.utterances, map_items(listen, names, n_workers=n_useful), strict=True
        ):
            checked.append(_checked(utterance, heard, table, reading or Reading()))
            if on_progress:
                on_progress(len(checked), n_all)
    _find_twins(checked)
    _find_odd_rates(checked)
    return checked


def hear(
    basename: str,
    *,
    recordings: Path,
    mel: MelSpec,
    options: PrepareOptions,
    output_mel: MelSpec | None = None,
    has_prosody: bool = False,
) -> Heard:
    """One recording, judged as preparing judges it. Runs in a worker process."""
    path = find_recording(recordings, basename)
    if path is None:
        return Heard(problem="no recording of that name")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    try:
        cleaned = prepared_audio(path, mel, options, output_mel=output_mel)
    except AudioError as error:
        what = error.what.replace(str(path), "the recording")
        return Heard(problem=f"{what} ({error.found})" if error.found else what, digest=digest)
    audio = cleaned.audio
    return Heard(
        duration_s=audio.duration_s,
        clipped_share=cleaned.clipped_share,
        n_clipped=round(cleaned.clipped_share * probe(path).n_samples),
        pitch=Spread.of(pitch_hz(audio, mel).f0_hz) if has_prosody else None,
        energy=Spread.of(energy(log_mel(audio.samples, mel))) if has_prosody else None,
        digest=digest,
    )


def _checked(utterance: Utterance, heard: Heard, table: SymbolTable | None, reading: Reading) -> Checked:
    findings = [heard.problem] if heard.problem else []
    if heard.clipped_share > 0:
        findings.append(f"{heard.clipped_share:.2%} of it is clipped")
    missing: dict[str, int] | None = None
    if table is not None:
        try:
            missing = dict(missing_in(utterance, table, reading))
        except (DataError, TextError) as error:
            findings.append(error.what)
        if missing:
            findings.append(f"symbols that the model lacks: {', '.join(map(repr, sorted(missing)))}")
    return Checked(utterance=utterance, heard=heard, missing=missing, findings=findings)


def _find_twins(checked: Sequence[Checked]) -> None:
    texts: dict[tuple[str, str], list[Checked]] = defaultdict(list)
    sounds: dict[str, list[Checked]] = defaultdict(list)
    for one in checked:
        texts[one.utterance.speaker, " ".join(one.text.casefold().split())].append(one)
        if one.heard.digest:
            sounds[one.heard.digest].append(one)
    for what, groups in (("text", texts), ("recording", sounds)):
        for first, *others in groups.values():
            for one in others:
                one.findings.append(f"the same {what} as {first.utterance.basename}")


def _find_odd_rates(checked: Sequence[Checked]) -> None:
    logs = [math.log(one.rate_hz) for one in checked if one.rate_hz]
    if len(logs) < FEWEST_RATES:
        return
    middle = statistics.median(logs)
    spread = MAD_TO_STD * statistics.median(abs(value - middle) for value in logs)
    for one in checked:
        away = math.log(one.rate_hz) - middle if one.rate_hz else 0.0
        if abs(away) > max(ODD_SPREADS * spread, math.log(ODD_RATIO)):
            how = "faster" if away > 0 else "slower"
            found = f"{one.rate_hz:.1f} characters per second, usual are {math.exp(middle):.1f}"
            one.findings.append(f"spoken far {how} than the others, or the text is not its own ({found})")

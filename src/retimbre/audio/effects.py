"""Effects on a recording, in the words of SoX (https://sox.sourceforge.net/sox.html): what each of them is.

Here words become effects; `effect_chain.py` applies them.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

USAGE = {  # what can be written of each; what SoX knows beyond is not here
    "channels": "channels N",
    "gain": "gain [-n] [dB]",
    "highpass": "highpass [-1|-2] HZ[k] [Q[q]]",
    "lowpass": "lowpass [-1|-2] HZ[k] [Q[q]]",
    "norm": "norm [dB]",
    "rate": "rate [-q|-l|-m|-h|-v] HZ[k]",
    "remix": "remix CHANNELS…, as in '1', '1,2' or '-'",
    "reverse": "reverse",
    "silence": "silence 1 DURATION THRESHOLD(%|d) [-1|1 DURATION THRESHOLD(%|d)]",
    "vol": "vol GAIN [amplitude|power|dB]",
}
BUTTERWORTH_Q = math.sqrt(0.5)


@dataclass(frozen=True, kw_only=True)
class Channels:
    """Mixed to fewer channels, or repeated in more."""

    n: int


@dataclass(frozen=True, kw_only=True)
class Remix:
    """New channels, each the mean of some: ranges (first, last), counted from 1; None is the outermost."""

    outputs: tuple[tuple[tuple[int | None, int | None], ...], ...]


@dataclass(frozen=True, kw_only=True)
class Amplify:
    """All samples times a factor."""

    factor: float


@dataclass(frozen=True, kw_only=True)
class Normalise:
    """All samples times what brings the largest of them to `peak`."""

    peak: float


@dataclass(frozen=True, kw_only=True)
class Reverse:
    """Backwards."""


@dataclass(frozen=True, kw_only=True)
class Rate:
    """Another sample rate."""

    sample_rate_hz: int


@dataclass(frozen=True, kw_only=True)
class PassFilter:
    """What lies above (or below) a frequency; of the first order, or of the second one with a quality `q`."""

    kind: Literal["highpass", "lowpass"]
    frequency_hz: float
    n_poles: Literal[1, 2] = 2
    q: float = BUTTERWORTH_Q


@dataclass(frozen=True, kw_only=True)
class Passage:
    """How long something must last, in seconds or in samples, and which level divides sound from silence."""

    duration: float
    is_in_samples: bool
    level: float

    def n_samples(self, sample_rate_hz: int) -> int:
        """Its length."""
        return round(self.duration if self.is_in_samples else self.duration * sample_rate_hz)


@dataclass(frozen=True, kw_only=True)
class CutSilence:
    """What comes before the first sound is cut; then, if asked for, what is silent later.

    Args:
        sound: What ends the silence at the start; None keeps it.
        silence: What begins a later one; None keeps them all.
        goes_on: The sound after a later silence is kept, too.
    """

    sound: Passage | None
    silence: Passage | None = None
    goes_on: bool = False


Effect: TypeAlias = Channels | Remix | Amplify | Normalise | Reverse | Rate | PassFilter | CutSilence


def effect_of(text: str) -> Effect:
    """One effect, as in 'norm -3.0'.

    Raises:
        ValueError: with what could be written instead.
    """
    name, *words = text.split() or [""]
    if name not in USAGE:
        raise ValueError(f"one of {', '.join(USAGE)}")
    try:
        return _effect(name, words)
    except (ValueError, IndexError, OverflowError) as error:
        raise ValueError(f"'{USAGE[name]}'") from error


def shortens(effect: Effect) -> bool:
    """May the recording be much shorter afterwards?"""
    return isinstance(effect, CutSilence)


def _effect(name: str, words: list[str]) -> Effect:
    if name == "reverse":
        _require(not words)
        return Reverse()
    if name == "channels":
        _require(len(words) == 1 and int(words[0]) > 0)
        return Channels(n=int(words[0]))
    if name in ("norm", "gain"):
        return _gain(["-n", *words] if name == "norm" else words)
    if name == "vol":
        return Amplify(factor=_volume(words))
    if name == "rate":
        words = words[1:] if words[:1] and words[0] in ("-q", "-l", "-m", "-h", "-v") else words
        _require(len(words) == 1 and _hertz(words[0]) >= 1)
        return Rate(sample_rate_hz=round(_hertz(words[0])))
    if name == "remix":
        _require(bool(words))
        return Remix(outputs=tuple(tuple(map(_range, word.split(","))) for word in words))
    return _cut_silence(words) if name == "silence" else _pass_filter(name, words)


def _require(is_right: bool) -> None:
    if not is_right:
        raise ValueError


def _gain(words: list[str]) -> Amplify | Normalise:
    is_normalised = words[:1] == ["-n"]
    numbers = words[1:] if is_normalised else words
    _require(len(numbers) <= 1 and (is_normalised or bool(numbers)))
    factor = _from_db(float(numbers[0]) if numbers else 0.0)
    return Normalise(peak=factor) if is_normalised else Amplify(factor=factor)


def _volume(words: list[str]) -> float:
    found = re.fullmatch(r"([-+.\d]+) ?([A-Za-z]*)", " ".join(words))
    if found is None:
        raise ValueError
    value, unit = float(found[1]), found[2].lower()
    _require(unit in ("", "amplitude", "power", "db"))
    if unit == "db":
        return _from_db(value)
    return math.copysign(math.sqrt(abs(value)), value) if unit == "power" else value


def _pass_filter(name: str, words: list[str]) -> PassFilter:
    n_poles: Literal[1, 2] = 1 if words[0] == "-1" else 2
    numbers = words[1:] if words[0] in ("-1", "-2") else words
    _require(1 <= len(numbers) <= (1 if n_poles == 1 else 2))
    q = float(numbers[1].removesuffix("q")) if len(numbers) == 2 else BUTTERWORTH_Q
    _require(_hertz(numbers[0]) > 0 and 0 < q < math.inf)
    kind: Literal["highpass", "lowpass"] = "highpass" if name == "highpass" else "lowpass"
    return PassFilter(kind=kind, frequency_hz=_hertz(numbers[0]), n_poles=n_poles, q=q)


def _cut_silence(words: Sequence[str]) -> CutSilence:
    n_sounds, words = int(words[0]), words[1:]
    _require(n_sounds in (0, 1))
    sound = _passage(words[0], words[1]) if n_sounds else None
    words = words[2:] if n_sounds else words
    if not words:
        return CutSilence(sound=sound)
    _require(len(words) == 3 and int(words[0]) in ((1, -1) if n_sounds else (1,)))
    return CutSilence(sound=sound, silence=_passage(words[1], words[2]), goes_on=int(words[0]) == -1)


def _passage(duration: str, level: str) -> Passage:
    value = float(level[:-1])
    _require(level[-1] in "%d" and (level[-1] == "d" or value >= 0))
    share = value / 100 if level[-1] == "%" else _from_db(value)
    if duration.isdecimal():  # a bare number is a number of samples, but 0.1 are seconds
        return Passage(duration=float(duration), is_in_samples=True, level=share)
    seconds = 0.0
    for part in duration.removesuffix("t").split(":"):
        seconds = 60 * seconds + float(part)
    _require(0 <= seconds < math.inf)
    return Passage(duration=seconds, is_in_samples=False, level=share)


def _range(word: str) -> tuple[int | None, int | None]:
    found = re.fullmatch(r"(\d*)(-?)(\d*)", word)
    _require(bool(word) and found is not None)
    first, dash, last = found.groups() if found else ("", "", "")
    ends = (int(first) if first else None, int(last) if last else None)
    _require(0 not in ends and bool(dash or first))
    return ends if dash else (ends[0], ends[0])


def _hertz(word: str) -> float:
    value = float(word.removesuffix("k")) * (1000 if word.endswith("k") else 1)
    _require(0 < value < math.inf)
    return value


def _from_db(level_db: float) -> float:
    factor = 10 ** (level_db / 20)
    _require(0 < factor < math.inf)
    return float(factor)

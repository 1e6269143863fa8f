"""Recordings of a voice -> what each of TorToiSe's two networks hears of them.

One hears six seconds anywhere in a recording at 22,050 Hz, the other the first 4.27 s at 24,000 Hz; silence
follows what is shorter. The second is resampled from the first rate, as TorToiSe does it: so neither hears
what lies above 11,025 Hz.

Axes used in this file:
    samples  of a recording; auto_samples, diffusion_samples: of the part that one network hears
    mels     bands of a spectrogram
    frames   of a spectrogram
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from retimbre.audio.cleaning import count_clipped
from retimbre.audio.files import load_audio
from retimbre.audio.mel import log_mel, tortoise_mel80, tortoise_univnet_mel100
from retimbre.audio.resample import sinc_resample
from retimbre.audio.tortoise_norms import tortoise_norms
from retimbre.audio.waveform import Audio
from retimbre.checkpoint.digest import sha256_of
from retimbre.errors import AudioError

FRONT_END = 1  # of this file: another number where the same recordings would be heard as other numbers
AUTO_MEL = tortoise_mel80(tortoise_norms())
DIFFUSION_MEL = tortoise_univnet_mel100()
AUTO_SAMPLES = 132_300  # six seconds at the rate of the autoregressive network
DIFFUSION_SAMPLES = 102_400  # 400 frames at the rate of the diffusion network
SHORTEST_S = 0.1
SILENT_PEAK = 1e-4  # -80 dB: three levels of 16 bits
MOST_CLIPPED = 0.001  # share of a recording that may be clipped before it is said
MANY = 20  # recordings: their mean blurs, and hearing each takes time
N_SHOWN = 5

Samples = Float[Tensor, "samples"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Clip:
    """One recording as both networks hear it.

    Args:
        sha256: Of the file.
        start_samples: Where the autoregressive network's part begins, at its rate.
        for_auto: That part, 22,050 Hz.
        for_diffusion: What the diffusion network hears, 24,000 Hz.
        sample_rate_hz: Of the file.
        n_clipped: Samples of the file at its largest or smallest value, in runs.
    """

    path: Path
    sha256: str
    duration_s: float
    start_samples: int
    for_auto: Float[Tensor, "auto_samples"]
    for_diffusion: Float[Tensor, "diffusion_samples"]
    sample_rate_hz: int
    n_clipped: int

    def auto_spec(self) -> Float[Tensor, "mels frames"]:
        """80 bands, each divided by its norm."""
        return log_mel(self.for_auto, AUTO_MEL)

    def diffusion_spec(self) -> Float[Tensor, "mels frames"]:
        """100 bands, not normalised."""
        return log_mel(self.for_diffusion, DIFFUSION_MEL)


def clips_of(paths: Sequence[Path], *, seed: int) -> tuple[Clip, ...]:
    """Each recording as it is heard, in the order of their hashes: names and their order change no voice.

    A file of two channels is mixed to one; TorToiSe takes the first of them.

    Args:
        seed: Where six seconds are cut from a longer recording follows from it and from the recording, so
            that one recording more does not change how the others are heard.

    Raises:
        AudioError: naming every recording that cannot be read, is silent, or is shorter than 0.1 s.
    """
    if not paths:
        raise AudioError(
            "a voice needs recordings", expected="at least one", found="none", do="name some, or their folder"
        )
    clips, errors = [], []
    for path in paths:
        try:
            clips.append(_clip(Path(path), seed))
        except AudioError as error:
            errors.append(error)
    if errors:
        raise _joined(errors, len(paths))
    return tuple(sorted(clips, key=lambda clip: clip.sha256))


def notes_on(clips: Sequence[Clip]) -> tuple[str, ...]:
    """What the user should know of the recordings, as sentences."""
    lowest_hz = AUTO_MEL.sample_rate_hz
    kinds: tuple[tuple[Callable[[Clip], bool], str], ...] = (
        (
            lambda clip: clip.sample_rate_hz < lowest_hz,
            f"recorded with less than {lowest_hz:,} Hz, so the voice sounds dull",
        ),
        (
            lambda clip: clip.n_clipped > MOST_CLIPPED * clip.duration_s * clip.sample_rate_hz,
            "clipped: the voice may sound harsh",
        ),
        (
            lambda clip: _is_silent(clip.for_auto),
            "silent in the six seconds that are heard of it: cut the silence, or take another seed",
        ),
        (
            lambda clip: _is_silent(clip.for_diffusion),
            "silent in its first 4.3 s, all that the diffusion network hears of it: cut the silence",
        ),
    )
    notes = [
        f"{_shown([clip.path.name for clip in clips if is_so(clip)])}: {what}"
        for is_so, what in kinds
        if any(map(is_so, clips))
    ]
    if len(clips) > MANY:
        notes.append(f"{len(clips)} recordings: the voice is their mean; 3 to 5 of about 10 s are usual")
    return tuple(notes)


def crop_start(n_samples: int, *, seed: int, sha256: str) -> int:
    """Where the six seconds begin that are heard of a recording, at 22,050 Hz; 0 in a shorter one."""
    if n_samples <= AUTO_SAMPLES:
        return 0
    own = int.from_bytes(hashlib.sha256(f"{seed} {sha256}".encode()).digest()[:8], "big")
    generator = torch.Generator().manual_seed(own)
    return int(torch.randint(n_samples - AUTO_SAMPLES + 1, (), generator=generator))


def _clip(path: Path, seed: int) -> Clip:
    recorded = load_audio(path)
    if recorded.duration_s < SHORTEST_S:
        raise AudioError(
            f"{path} is too short", expected=f"at least {SHORTEST_S} s", found=f"{recorded.duration_s:.3f} s"
        )
    if _is_silent(recorded.samples):
        raise AudioError(f"{path} is silent", expected="sound", found="nothing above -80 dB")
    heard = _resampled(recorded, AUTO_MEL.sample_rate_hz, path)
    sha256 = sha256_of(path)
    start = crop_start(heard.n_samples, seed=seed, sha256=sha256)
    return Clip(
        path=path,
        sha256=sha256,
        duration_s=recorded.duration_s,
        start_samples=start,
        for_auto=fitted(heard.samples[start:], AUTO_SAMPLES),
        for_diffusion=diffusion_part(heard, path),
        sample_rate_hz=recorded.sample_rate_hz,
        n_clipped=count_clipped(recorded),
    )


def diffusion_part(heard: Audio, path: Path) -> Samples:
    """What the diffusion network hears of a recording at 22,050 Hz, at its own rate.

    Args:
        path: Of the recording, for errors.
    """
    # Twice as much as is needed: the filter reads a few samples beyond, and the rest of an hour is not heard.
    beginning = Audio(samples=heard.samples[: 2 * DIFFUSION_SAMPLES], sample_rate_hz=heard.sample_rate_hz)
    return fitted(_resampled(beginning, DIFFUSION_MEL.sample_rate_hz, path).samples, DIFFUSION_SAMPLES)


def _resampled(audio: Audio, sample_rate_hz: int, path: Path) -> Audio:
    try:
        made = sinc_resample(audio, sample_rate_hz)
    except AudioError as error:
        raise AudioError(
            f"{path} has an unusual sample rate", found=f"{audio.sample_rate_hz:,} Hz", do="export it again"
        ) from error
    return Audio(samples=made.samples.clamp(-1.0, 1.0), sample_rate_hz=sample_rate_hz)


def fitted(samples: Samples, n_samples: int) -> Float[Tensor, "{n_samples}"]:
    """The beginning, or all and silence after it."""
    return functional.pad(samples[:n_samples], (0, max(0, n_samples - len(samples))))


def _is_silent(samples: Samples) -> bool:
    return float(samples.abs().max()) < SILENT_PEAK


def _joined(errors: Sequence[AudioError], n_recordings: int) -> AudioError:
    """One error that names all."""
    if len(errors) == 1:
        return errors[0]
    found = "; ".join(f"{error.what} ({error.found})" if error.found else error.what for error in errors)
    return AudioError(
        f"{len(errors)} of {n_recordings} recordings of a voice cannot be used",
        expected=f"sound of at least {SHORTEST_S} s that can be read",
        found=found,
        do="remove them, or export them again as WAV",
    )


def _shown(names: Sequence[str]) -> str:
    more = len(names) - N_SHOWN
    return ", ".join(names[:N_SHOWN]) + (f" and {more} more" if more > 0 else "")

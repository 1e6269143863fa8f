"""From one recording to features: one function per step. Nothing here knows where files lie."""

from dataclasses import dataclass
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from retimbre.audio import cleaning
from retimbre.audio.energy import energy
from retimbre.audio.files import FileFacts, load_audio, probe, resample
from retimbre.audio.mel import MelSpec, log_mel
from retimbre.audio.pitch import Pitch, pitch_hz
from retimbre.audio.waveform import Audio
from retimbre.errors import AudioError, DataError

TRIMMABLE = 10.0  # a recording this many times too long is a wrong file, not one with much silence
MOST_CLIPPED = 0.01  # share of a recording's samples; beyond it, speech is audibly distorted throughout


@dataclass(frozen=True, kw_only=True)
class PrepareOptions:
    """Which recordings are good enough, and how they are cleaned.

    Args:
        min_duration_s: Shorter ones are left out; measured after trimming.
        max_duration_s: Longer ones are left out.
        least_loudness_lufs: Quieter ones are left out.
        peak: Largest sample of a prepared recording.
        trims_silence: Cut what is quiet at both ends.
        trim_threshold_db: Quiet is what lies this far below the loudest part.
        trim_margin_ms: So much of the quiet is kept at each end.
        pitch_low_hz: Voices are not lower than this.
        pitch_high_hz: Nor higher.
    """

    min_duration_s: float = 0.4
    max_duration_s: float = 11.0
    least_loudness_lufs: float = -36.0
    peak: float = 0.95
    trims_silence: bool = False
    trim_threshold_db: float = 45.0
    trim_margin_ms: float = 100.0
    pitch_low_hz: float = 71.0
    pitch_high_hz: float = 800.0

    def __post_init__(self) -> None:
        for low, high in (("min_duration_s", "max_duration_s"), ("pitch_low_hz", "pitch_high_hz")):
            if not 0 < getattr(self, low) < getattr(self, high):
                found = f"{getattr(self, low):g} and {getattr(self, high):g}"
                raise DataError(f"{low} and {high} do not fit", expected=f"0 < {low} < {high}", found=found)
        if not 0 < self.peak <= 1:
            raise DataError("a peak cannot be reached", expected="above 0, at most 1", found=str(self.peak))


@dataclass(frozen=True, kw_only=True)
class Cleaned:
    """A recording as it is trained on.

    Args:
        audio: One channel, cleaned, a whole number of hops long.
        clipped_share: Share of the recording's own samples that lie in runs at its limits.
    """

    audio: Audio
    clipped_share: float


def prepared_audio(recording: Path, mel: MelSpec, options: PrepareOptions) -> Cleaned:
    """A recording cleaned, at the rate of `mel`.

    Raises:
        AudioError: if the recording cannot be read or is not good enough.
    """
    _require_usable(probe(recording), mel, options)
    recorded = load_audio(recording)
    clipped_share = cleaning.count_clipped(recorded) / recorded.n_samples
    if clipped_share > MOST_CLIPPED:
        raise AudioError(f"more than {MOST_CLIPPED:.0%} of it is clipped", found=f"{clipped_share:.1%}")
    audio = resample(recorded, mel.sample_rate_hz)
    if options.trims_silence:
        audio = cleaning.trim_silence(
            audio, threshold_db=options.trim_threshold_db, margin_ms=options.trim_margin_ms
        )
    _require_length(audio.duration_s, options)
    loudness_lufs = cleaning.loudness_lufs(audio)
    if not loudness_lufs >= options.least_loudness_lufs:
        raise AudioError(
            f"quieter than {options.least_loudness_lufs:g} LUFS", found=f"{loudness_lufs:.1f} LUFS"
        )
    audio = cleaning.to_whole_hops(cleaning.peak_normalise(audio, options.peak), mel.hop_samples)
    return Cleaned(audio=audio, clipped_share=clipped_share)


def cleaned_audio(recording: Path, mel: MelSpec) -> Cleaned:
    """A recording that EveryVoice has cleaned, as it is.

    Raises:
        AudioError: if it cannot be read, or has another sample rate.
    """
    audio = load_audio(recording)
    if audio.sample_rate_hz != mel.sample_rate_hz:
        raise AudioError(f"not at {mel.sample_rate_hz:,} Hz", found=f"{audio.sample_rate_hz:,} Hz")
    return Cleaned(audio=cleaning.to_whole_hops(audio, mel.hop_samples), clipped_share=0.0)


def spec_of(audio: Audio, mel: MelSpec) -> Float[Tensor, "mels frames"]:
    """The spectrogram that training and the vocoder see."""
    spec: Tensor = log_mel(audio.samples, mel)
    return spec


def pitch_of(audio: Audio, mel: MelSpec, options: PrepareOptions) -> Pitch:
    """Raw hertz for each frame of the spectrogram."""
    return pitch_hz(audio, mel, low_hz=options.pitch_low_hz, high_hz=options.pitch_high_hz)


def energy_of(audio: Audio, mel: MelSpec) -> Float[Tensor, "frames"]:
    """Raw energy of each frame of the spectrogram."""
    return energy(spec_of(audio, mel))


def _require_usable(facts: FileFacts, mel: MelSpec, options: PrepareOptions) -> None:
    if facts.sample_rate_hz < 2 * mel.high_hz:
        raise AudioError(
            f"recorded below {2 * mel.high_hz:,.0f} Hz: its highest bands would be empty",
            found=f"{facts.sample_rate_hz:,} Hz",
        )
    # Before anything is decoded: a file of hours among utterances would fill the memory.
    limit_s = options.max_duration_s * (TRIMMABLE if options.trims_silence else 1.0)
    if facts.duration_s > limit_s:
        raise _too_long(facts.duration_s, options)


def _require_length(duration_s: float, options: PrepareOptions) -> None:
    if duration_s > options.max_duration_s:
        raise _too_long(duration_s, options)
    if duration_s < options.min_duration_s:
        raise AudioError(f"shorter than {options.min_duration_s:g} s", found=f"{duration_s:.2f} s")


def _too_long(duration_s: float, options: PrepareOptions) -> AudioError:
    return AudioError(f"longer than {options.max_duration_s:g} s", found=f"{duration_s:.2f} s")

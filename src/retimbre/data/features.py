"""From one recording to features: one function per step. Nothing here knows where files lie."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from retimbre.audio import cleaning
from retimbre.audio.effect_chain import Sound, applied
from retimbre.audio.effects import Channels, effect_of, shortens
from retimbre.audio.energy import energy
from retimbre.audio.files import FileFacts, load_audio, load_channels, probe, resample
from retimbre.audio.mel import MelSpec, log_mel
from retimbre.audio.pitch import Pitch, pitch_hz
from retimbre.audio.waveform import Audio
from retimbre.errors import AudioError, DataError

TRIMMABLE = 10.0  # a recording this many times too long is a wrong file, not one with much silence
TOP_HZ = 20_000  # of hearing: a recording that reaches it lacks nothing
MOST_CLIPPED = 0.01  # share of a recording's samples; beyond it, speech is audibly distorted throughout


@dataclass(frozen=True, kw_only=True)
class PrepareOptions:
    """Which recordings are good enough, and how they are cleaned.

    Args:
        min_duration_s: Shorter ones are left out; measured after trimming.
        max_duration_s: Longer ones are left out.
        least_loudness_lufs: Quieter ones are left out; measured before effects.
        effects: What is done to a recording before all else, in order, as in 'norm -3.0'.
        peak: Largest sample of a prepared recording; None: it stays as loud as it is.
        trims_silence: Cut what is quiet at both ends.
        trim_threshold_db: Quiet is what lies this far below the loudest part.
        trim_margin_ms: So much of the quiet is kept at each end.
        pitch_low_hz: Voices are not lower than this.
        pitch_high_hz: Nor higher.
    """

    min_duration_s: float = 0.4
    max_duration_s: float = 11.0
    least_loudness_lufs: float = -36.0
    peak: float | None = 0.95
    trims_silence: bool = False
    trim_threshold_db: float = 45.0
    trim_margin_ms: float = 100.0
    pitch_low_hz: float = 71.0
    pitch_high_hz: float = 800.0
    effects: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for low, high in (("min_duration_s", "max_duration_s"), ("pitch_low_hz", "pitch_high_hz")):
            if not 0 < getattr(self, low) < getattr(self, high):
                found = f"{getattr(self, low):g} and {getattr(self, high):g}"
                raise DataError(f"{low} and {high} do not fit", expected=f"0 < {low} < {high}", found=found)
        if self.peak is not None and not 0 < self.peak <= 1:
            raise DataError("a peak cannot be reached", expected="above 0, at most 1", found=str(self.peak))


@dataclass(frozen=True, kw_only=True)
class Cleaned:
    """A recording as it is trained on.

    Args:
        audio: One channel, cleaned, a whole number of hops long.
        clipped_share: Share of the recording's own samples that lie in runs at its limits.
        output: The same sound at the rate of a vocoder's output, where that is another one.
    """

    audio: Audio
    clipped_share: float
    output: Audio | None = None


def prepared_audio(
    recording: Path, mel: MelSpec, options: PrepareOptions, *, output_mel: MelSpec | None = None
) -> Cleaned:
    """A recording cleaned, at the rate of `mel`, and at that of `output_mel` where it is another one.

    Raises:
        AudioError: if the recording cannot be read or is not good enough.
    """
    _require_usable(probe(recording), mel, options, output_mel or mel)
    recorded = load_audio(recording)
    clipped_share = cleaning.count_clipped(recorded) / recorded.n_samples
    if clipped_share > MOST_CLIPPED:
        raise AudioError(f"more than {MOST_CLIPPED:.0%} of it is clipped", found=f"{clipped_share:.1%}")
    heard = _with_effects(recording, options.effects) if options.effects else recorded
    audio = resample(heard, mel.sample_rate_hz)
    first, end = _bounds(audio, options)
    audio = replace(audio, samples=audio.samples[first:end].clone())
    _require_length(audio.duration_s, options)
    _require_loud(recorded if options.effects else audio, options)
    factor = 1.0 if options.peak is None else options.peak / float(audio.samples.abs().max())
    if options.peak is not None:
        audio = cleaning.peak_normalise(audio, options.peak)
    audio = cleaning.to_whole_hops(audio, mel.hop_samples)
    output = None
    if output_mel is not None:
        output = _output(heard, mel, output_mel, first=first, n_hops=audio.n_samples // mel.hop_samples)
        output = _amplified(output, factor)
    return Cleaned(audio=audio, clipped_share=clipped_share, output=output)


def cleaned_audio(recording: Path, mel: MelSpec) -> Audio:
    """A recording that EveryVoice has cleaned, as it is.

    Raises:
        AudioError: if it cannot be read, or has another sample rate.
    """
    audio = load_audio(recording)
    if audio.sample_rate_hz != mel.sample_rate_hz:
        raise AudioError(f"not at {mel.sample_rate_hz:,} Hz", found=f"{audio.sample_rate_hz:,} Hz")
    return cleaning.to_whole_hops(audio, mel.hop_samples)


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


def _with_effects(recording: Path, effects: tuple[str, ...]) -> Audio:
    """The recording after its effects, mixed to one channel."""
    channels, rate_hz = load_channels(recording)
    sound = Sound(wave=channels.T.astype(np.float64), sample_rate_hz=rate_hz)
    sound = applied([*map(effect_of, effects), Channels(n=1)], sound)
    return Audio(samples=torch.from_numpy(sound.wave[0]).float(), sample_rate_hz=sound.sample_rate_hz)


def _bounds(audio: Audio, options: PrepareOptions) -> tuple[int, int]:
    """First sample that stays, and the one after the last."""
    if not options.trims_silence:
        return 0, audio.n_samples
    return cleaning.sound_bounds(
        audio, threshold_db=options.trim_threshold_db, margin_ms=options.trim_margin_ms
    )


def _output(heard: Audio, mel: MelSpec, output_mel: MelSpec, *, first: int, n_hops: int) -> Audio:
    """The same moments at another rate: from sample `first` of `mel`'s rate on, `n_hops` hops."""
    audio = resample(heard, output_mel.sample_rate_hz)
    start = first * output_mel.hop_samples // mel.hop_samples
    return with_length(replace(audio, samples=audio.samples[start:].clone()), n_hops * output_mel.hop_samples)


def with_length(audio: Audio, n_samples: int) -> Audio:
    """Cut at its end, or continued there with silence: two resamplings round a length differently."""
    missing = max(0, n_samples - audio.n_samples)
    return replace(audio, samples=functional.pad(audio.samples[:n_samples], (0, missing)))


def _amplified(audio: Audio, factor: float) -> Audio:
    """As loud as what the spectrogram is made from, or a little less where a file would clip it."""
    samples = audio.samples * factor
    return replace(audio, samples=samples / max(1.0, float(samples.abs().max())))


def _require_usable(facts: FileFacts, mel: MelSpec, options: PrepareOptions, output_mel: MelSpec) -> None:
    needed_hz = min(output_mel.sample_rate_hz, 2 * TOP_HZ)
    if output_mel.sample_rate_hz > mel.sample_rate_hz and facts.sample_rate_hz < needed_hz:
        raise AudioError(
            f"recorded below {needed_hz:,} Hz: nothing in it teaches what a vocoder at "
            f"{output_mel.sample_rate_hz:,} Hz has to add",
            found=f"{facts.sample_rate_hz:,} Hz",
        )
    if facts.sample_rate_hz < 2 * mel.high_hz:
        raise AudioError(
            f"recorded below {2 * mel.high_hz:,.0f} Hz: its highest bands would be empty",
            found=f"{facts.sample_rate_hz:,} Hz",
        )
    # Before anything is decoded: a file of hours among utterances would fill the memory.
    is_shortened = options.trims_silence or any(shortens(effect_of(effect)) for effect in options.effects)
    limit_s = options.max_duration_s * (TRIMMABLE if is_shortened else 1.0)
    if facts.duration_s > limit_s:
        raise _too_long(facts.duration_s, options)


def _require_length(duration_s: float, options: PrepareOptions) -> None:
    if duration_s > options.max_duration_s:
        raise _too_long(duration_s, options)
    if duration_s < options.min_duration_s:
        raise AudioError(f"shorter than {options.min_duration_s:g} s", found=f"{duration_s:.2f} s")


def _require_loud(audio: Audio, options: PrepareOptions) -> None:
    loudness_lufs = cleaning.loudness_lufs(audio)
    if not loudness_lufs >= options.least_loudness_lufs:
        raise AudioError(
            f"quieter than {options.least_loudness_lufs:g} LUFS", found=f"{loudness_lufs:.1f} LUFS"
        )


def _too_long(duration_s: float, options: PrepareOptions) -> AudioError:
    return AudioError(f"longer than {options.max_duration_s:g} s", found=f"{duration_s:.2f} s")

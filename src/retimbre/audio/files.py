"""Read and write sound files, resample, mix to mono."""

from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr
import torch
from jaxtyping import Float32, Float64
from torch import Tensor

from retimbre.audio.wav_facts import add_facts
from retimbre.audio.waveform import Audio
from retimbre.errors import AudioError

# Two channels whose mix has less than this share of their energy cancel each other (-30 dB).
LEAST_MIX_ENERGY = 1e-3
LEAST_DECODED = 0.9  # the head of an MP3 may only estimate the length


@dataclass(frozen=True, kw_only=True)
class FileFacts:
    """What the head of a sound file says."""

    sample_rate_hz: int
    n_channels: int
    n_samples: int

    @property
    def duration_s(self) -> float:
        """How long it sounds, in seconds."""
        return self.n_samples / self.sample_rate_hz


def probe(path: str | PathLike[str]) -> FileFacts:
    """Sample rate, channels and length of a sound file, without decoding it."""
    path = Path(path)
    _require_file(path)
    try:
        info = soundfile.info(path)
    except soundfile.SoundFileError as error:
        raise _undecodable(path, error) from error
    return FileFacts(sample_rate_hz=info.samplerate, n_channels=info.channels, n_samples=info.frames)


def load_audio(path: str | PathLike[str], *, sample_rate_hz: int | None = None) -> Audio:
    """Read a sound file as one channel of float32, at `sample_rate_hz` if given.

    Raises:
        AudioError: if it is missing, cannot be decoded, is empty, has NaN or infinite samples, more than two
            channels, or two channels that cancel each other when mixed.
    """
    path = Path(path)
    channels, rate_hz = load_channels(path)
    audio = Audio(samples=torch.from_numpy(_to_mono(channels, path)), sample_rate_hz=rate_hz)
    return audio if sample_rate_hz is None else resample(audio, sample_rate_hz)


def load_part(path: Path, *, start: int, n_samples: int) -> Float32[Tensor, "samples"]:
    """So many samples of a mono file from `start` on, or as many as there are; nothing else is decoded.

    Raises:
        AudioError: if it is missing, cannot be decoded, or has more than one channel.
    """
    _require_file(path)
    try:
        with soundfile.SoundFile(path) as file:
            if file.channels != 1:
                raise AudioError(f"{path} cannot be used", expected="one channel", found=str(file.channels))
            file.seek(start)
            return torch.from_numpy(file.read(n_samples, dtype="float32"))
    except soundfile.SoundFileError as error:
        raise _undecodable(path, error) from error


def load_channels(path: Path) -> tuple[Float32[np.ndarray, "samples channels"], int]:
    """All channels of a sound file as they are, and its sample rate.

    Raises:
        AudioError: if it is missing, cannot be decoded, is empty, or has NaN or infinite samples.
    """
    _require_file(path)
    try:
        with soundfile.SoundFile(path) as file:
            n_promised, rate_hz = file.frames, file.samplerate
            channels = file.read(dtype="float32", always_2d=True)
    except soundfile.SoundFileError as error:
        raise _undecodable(path, error) from error
    if channels.shape[0] == 0:
        raise AudioError(
            f"{path} is empty", expected="sound", found="0 samples", do="remove it from the list"
        )
    if channels.shape[0] < LEAST_DECODED * n_promised:
        raise AudioError(
            f"{path} ends too early",
            expected=f"{n_promised} samples, as its head says",
            found=str(channels.shape[0]),
            do="copy or export the recording again",
        )
    if not np.isfinite(channels).all():
        raise AudioError(
            f"{path} cannot be used",
            expected="finite samples",
            found=f"{np.count_nonzero(~np.isfinite(channels))} that are NaN or infinite",
            do="export the recording again",
        )
    return channels, rate_hz


def save_audio(path: str | PathLike[str], audio: Audio, facts: Mapping[str, Any] | None = None) -> None:
    """Write `audio` as a 16-bit WAV file.

    Args:
        facts: How it was made, as plain values; `facts_of` reads them back, and many players show them.
    """
    audio.save(path)
    if facts is not None:
        add_facts(Path(path), facts)


def resample(audio: Audio, sample_rate_hz: int) -> Audio:
    """The same sound at another sample rate."""
    if audio.sample_rate_hz == sample_rate_hz:
        return audio
    samples = audio.samples.detach().cpu().numpy()
    made = soxr.resample(samples, audio.sample_rate_hz, sample_rate_hz, quality="VHQ")
    if made.size == 0:
        raise AudioError(
            "a recording is too short to be resampled", found=f"{samples.size} samples", do="leave it out"
        )
    return Audio(samples=torch.from_numpy(made), sample_rate_hz=sample_rate_hz)


def _to_mono(channels: Float32[np.ndarray, "samples channels"], path: Path) -> Float32[np.ndarray, "samples"]:
    n_channels = channels.shape[1]
    if n_channels == 1:
        return np.ascontiguousarray(channels[:, 0])
    if n_channels > 2:
        raise AudioError(
            f"{path} cannot be used",
            expected="one or two channels",
            found=f"{n_channels} channels",
            do="export the channel of the voice as a mono file",
        )
    mix: Float64[np.ndarray, samples] = channels.mean(axis=1, dtype=np.float64)
    energy = np.square(channels, dtype=np.float64).sum() / n_channels
    if energy > 0 and np.square(mix).sum() < LEAST_MIX_ENERGY * energy:
        raise AudioError(
            f"the two channels of {path} cancel each other",
            expected="channels that can be mixed to one",
            found="opposite phases",
            do="export one of the channels as a mono file",
        )
    return np.asarray(mix, dtype=np.float32)


def _require_file(path: Path) -> None:
    if not path.is_file():
        raise AudioError(
            f"{path} cannot be read",
            expected="a sound file",
            found="a folder" if path.is_dir() else "nothing of that name",
            do="check the name and the folder of the recordings",
        )


def _undecodable(path: Path, error: Exception) -> AudioError:
    return AudioError(
        f"{path} cannot be decoded",
        expected="WAV, FLAC, Ogg or MP3",
        found=str(error).rstrip(". "),
        do="export the recording again as WAV",
    )

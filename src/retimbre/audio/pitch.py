"""Fundamental frequency per frame, voiced or not: WORLD's DIO, refined by StoneMask."""

from dataclasses import dataclass

import numpy as np
import pyworld
import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from retimbre.audio.mel import Centring, MelSpec
from retimbre.audio.waveform import Audio
from retimbre.errors import AudioError

SPEED = 4  # DIO looks at every fourth sample: the choice of EveryVoice, and of the models that it trained


@dataclass(frozen=True, kw_only=True)
class Pitch:
    """One fundamental frequency for each frame of a spec, and which frames really have one."""

    f0_hz: Float[Tensor, "frames"]  # interpolated where there is no voice; all 0 if there is none at all
    is_voiced: Bool[Tensor, "frames"]


def pitch_hz(audio: Audio, mel: MelSpec, *, low_hz: float = 71.0, high_hz: float = 800.0) -> Pitch:
    """Pitch at the same moments as the frames of `log_mel(audio.samples, mel)`, and as many.

    Raises:
        AudioError: if the recording has another sample rate than `mel`, or is too short for it.
    """
    if audio.sample_rate_hz != mel.sample_rate_hz:
        raise AudioError(
            "pitch cannot be measured for this spectrogram",
            expected=f"a recording at {mel.sample_rate_hz} Hz",
            found=f"{audio.sample_rate_hz} Hz",
            do="resample it when loading",
        )
    mel.require_long_enough(audio.n_samples)
    wave = audio.samples.detach().cpu().double().numpy()
    if mel.centring is Centring.SHIFTED:
        wave = wave[mel.hop_samples // 2 :]  # then frame 0 lies in the middle of the first hop
    f0_hz = _to_length(_dio_and_stonemask(wave, mel, low_hz, high_hz), mel.frames_in(audio.n_samples))
    is_voiced = f0_hz > 0
    return Pitch(
        f0_hz=torch.from_numpy(_without_gaps(f0_hz, is_voiced).astype(np.float32)),
        is_voiced=torch.from_numpy(is_voiced),
    )


def _dio_and_stonemask(
    wave: Float64[np.ndarray, "samples"], mel: MelSpec, low_hz: float, high_hz: float
) -> Float64[np.ndarray, "found"]:
    wave = np.ascontiguousarray(wave)
    period_ms = 1000.0 * mel.hop_samples / mel.sample_rate_hz
    rough_hz, times_s = pyworld.dio(
        wave, mel.sample_rate_hz, f0_floor=low_hz, f0_ceil=high_hz, frame_period=period_ms, speed=SPEED
    )
    return np.asarray(pyworld.stonemask(wave, rough_hz, times_s, mel.sample_rate_hz), dtype=np.float64)


def _to_length(f0_hz: Float64[np.ndarray, "found"], n_frames: int) -> Float64[np.ndarray, "frames"]:
    # WORLD has one frame more than a spec without its last frame; rounding may cost it one.
    missing = max(0, n_frames - len(f0_hz))
    return np.pad(f0_hz[:n_frames], (0, missing), mode="edge")


def _without_gaps(
    f0_hz: Float64[np.ndarray, "frames"], is_voiced: Bool[np.ndarray, "frames"]
) -> Float64[np.ndarray, "frames"]:
    if not is_voiced.any():
        return np.zeros_like(f0_hz)
    at = np.arange(len(f0_hz))
    return np.asarray(np.interp(at, at[is_voiced], f0_hz[is_voiced]), dtype=np.float64)

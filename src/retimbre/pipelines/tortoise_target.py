"""What the diffusion decoder should make of true codes: the recording's spec, frame by frame in their time.

A code stands for 1,024 samples at 22,050 Hz, and the decoder makes 4 * 24000 / 22050 frames of it. So the
recording is continued with silence to the end of its last code, resampled as TorToiSe resamples, and cut to
the frames that inference makes of so many codes: frame k of both is of the same moment.

Axes used in this file:
    samples  of the prepared recording, 22,050 Hz
    mels     bands of the spectrogram
    frames   of the spectrogram
"""

from dataclasses import replace

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from retimbre.audio.mel import MelSpec, log_mel, logarithms
from retimbre.audio.resample import sinc_resample
from retimbre.audio.waveform import Audio
from retimbre.errors import DataError
from retimbre.pipelines.tortoise_stages import CODES_HZ, FRAMES_PER_CODE, NORMALISED, n_frames_of
from retimbre.pipelines.tortoise_voice_clips import AUTO_MEL

SAMPLES_PER_CODE = FRAMES_PER_CODE * AUTO_MEL.hop_samples

Spec = Float[Tensor, "mels frames"]


def target_spec(samples: Float[Tensor, "samples"], n_codes: int, mel: MelSpec) -> Spec:
    """The normalised spec that belongs to the `n_codes` of a recording.

    What is louder than the decoder can say is made as loud as it can: its sampler cuts there as well.

    Args:
        mel: What the decoder writes, `spec_of` its config.

    Raises:
        DataError: if so many samples have another number of codes.
    """
    if n_codes != len(samples) // SAMPLES_PER_CODE + 1:
        raise DataError(
            "codes and recording do not belong together",
            expected=f"{len(samples) // SAMPLES_PER_CODE + 1} codes for {len(samples):,} samples",
            found=str(n_codes),
            do="encode the recordings again",
        )
    extended = functional.pad(samples, (0, n_codes * SAMPLES_PER_CODE - len(samples)))
    heard = sinc_resample(Audio(samples=extended, sample_rate_hz=CODES_HZ), mel.sample_rate_hz)
    spec = log_mel(heard.samples, normalised(mel))
    return spec[:, : n_frames_of(n_codes, mel)].clamp(-1, 1)


def normalised(mel: MelSpec) -> MelSpec:
    """The same bands, mapped to -1..1 as the decoder has them inside."""
    return replace(mel, log_range=NORMALISED.log_range)


def recorded_frames(n_samples: int, mel: MelSpec) -> int:
    """How many whole hops of the decoder's spec a recording of `n_samples` at 22,050 Hz fills.

    As many frames of what the decoder makes go with as many hops of the recording, for a vocoder to learn.
    """
    return n_samples * mel.sample_rate_hz // (CODES_HZ * mel.hop_samples)


def mel_error(
    produced: Float[Tensor, "mels produced_frames"], target: Spec, n_samples: int, mel: MelSpec
) -> float:
    """Mean absolute difference of log-mels, over the frames of the recording and not of the silence after it.

    Args:
        produced: As the decoder's sampler gives it, not normalised; at least as long as the recording.
        target: From `target_spec`, normalised.
        n_samples: Of the recording.
    """
    n_frames = recorded_frames(n_samples, mel)
    real = logarithms(target, normalised(mel))
    return float((produced[:, :n_frames] - real[:, :n_frames]).abs().mean())

"""Does it sound like the same person? Resemblyzer's speaker encoder, of which only the weights are used.

The network is that of "Generalized End-to-End Loss for Speaker Verification" (Wan et al. 2018,
https://arxiv.org/abs/1710.10467). Its package needs a compiler and two large libraries to be imported; to be
read, its file of weights needs none of them.

Axes used in this file:
    slices  of 1.6 s, which overlap
    frames  of 10 ms
    dim     of an embedding
"""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from retimbre.audio.files import resample
from retimbre.audio.mel import Centring, MelNorm, MelScale, MelSpec, log_mel
from retimbre.audio.waveform import Audio
from retimbre.checkpoint.fill import load_weights
from retimbre.checkpoint.read import read
from retimbre.errors import DataError, MissingExtra

SCORER = "Resemblyzer 0.1.4's speaker encoder"
PACKAGE, WEIGHTS = "resemblyzer", "pretrained.pt"
HOW_TO_GET = "pip install --no-deps resemblyzer"
NOT_OF_THE_NETWORK = ("similarity_weight", "similarity_bias")  # of its training loss
RATE_HZ, N_MELS, DIM, N_LAYERS = 16_000, 40, 256, 3
SLICE_FRAMES, SLICE_STEP_FRAMES = 160, 77  # 1.3 slices begin in each second
LEAST_SHARE = 0.75  # of the last slice that must be speech, not padding
LOUDNESS_DB = -30.0  # of full scale: what is softer is turned up to it
ENERGY = MelSpec(
    sample_rate_hz=RATE_HZ,
    n_fft_samples=400,
    window_samples=400,
    hop_samples=160,
    n_mels=N_MELS,
    low_hz=0.0,
    high_hz=RATE_HZ / 2,
    centring=Centring.CENTRED,
    power=2.0,
    mel_scale=MelScale.SLANEY,
    mel_norm=MelNorm.SLANEY,
    padding="constant",
    log_floor=1e-30,
)


class SpeakerEncoder(nn.Module):
    """Slices of speech as directions: those of one person lie close together."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(N_MELS, DIM, N_LAYERS, batch_first=True)
        self.linear = nn.Linear(DIM, DIM)

    def forward(self, energies: Float[Tensor, "slices frames mels"]) -> Float[Tensor, "slices dim"]:
        _, (hidden, _) = self.lstm(energies)
        return functional.normalize(self.linear(hidden[-1]).relu(), dim=-1)


def has_speaker_encoder() -> bool:
    """Whether the package that brings the weights is installed."""
    return _weights() is not None


def load_speaker_encoder() -> SpeakerEncoder:
    """The encoder with Resemblyzer's weights; nothing of that package is run.

    Raises:
        MissingExtra: without the package.
    """
    path = _weights()
    if path is None:
        raise MissingExtra("Speaker similarity", command=HOW_TO_GET)
    tensors = {name: tensor for name, tensor in read(path).tensors.items() if name not in NOT_OF_THE_NETWORK}
    encoder = SpeakerEncoder()
    load_weights(encoder, tensors)
    return encoder.eval()


@torch.inference_mode()
def embedding(encoder: SpeakerEncoder, audio: Audio) -> Float[Tensor, "dim"]:
    """One direction of length 1 for a recording: the mean over its slices.

    Raises:
        DataError: if there is no sound.
    """
    samples = resample(audio, RATE_HZ).samples.detach().cpu().float()
    loudness_db = 10 * float(torch.log10(samples.square().mean())) if samples.numel() else float("-inf")
    if not loudness_db > float("-inf"):
        raise DataError("a recording without sound has no speaker", expected="speech", found="silence")
    samples = samples * 10 ** (max(0.0, LOUDNESS_DB - loudness_db) / 20)
    starts = _starts(len(samples))
    n_needed = (starts[-1] + SLICE_FRAMES) * ENERGY.hop_samples
    samples = functional.pad(samples, (0, max(0, n_needed - len(samples))))
    energies = log_mel(samples, ENERGY).exp().T
    directions = encoder(torch.stack([energies[start : start + SLICE_FRAMES] for start in starts]))
    return functional.normalize(directions.mean(0), dim=-1)


def voice_of(encoder: SpeakerEncoder, recordings: Sequence[Audio]) -> Float[Tensor, "dim"]:
    """The mean direction of one person's recordings."""
    directions = torch.stack([embedding(encoder, audio) for audio in recordings])
    return functional.normalize(directions.mean(0), dim=-1)


def _starts(n_samples: int) -> list[int]:
    """First frames of the slices; the last one is left out where it would be mostly padding."""
    hop = ENERGY.hop_samples
    n_frames = -(-(n_samples + 1) // hop)
    starts = list(range(0, max(1, n_frames - SLICE_FRAMES + SLICE_STEP_FRAMES + 1), SLICE_STEP_FRAMES))
    covered = (n_samples - starts[-1] * hop) / (SLICE_FRAMES * hop)
    return starts[:-1] if covered < LEAST_SHARE and len(starts) > 1 else starts


def _weights() -> Path | None:
    found = find_spec(PACKAGE)
    for folder in found.submodule_search_locations or () if found else ():
        path = Path(folder) / WEIGHTS
        if path.is_file():
            return path
    return None

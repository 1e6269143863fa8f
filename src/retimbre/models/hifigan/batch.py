"""From spectrograms and their recordings to batches for a vocoder.

Axes used in this file:
    batch    segments or utterances
    mels     bands of the spectrogram
    frames   of the longest segment
    samples  of the longest segment, a whole number per frame
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from retimbre.errors import DataError


@dataclass(frozen=True, kw_only=True)
class VocoderItem:
    """One utterance, or a segment of one: what the vocoder reads and what it should give.

    The spec may be a predicted one; it must be as long as the recording.
    """

    spec: Float[Tensor, "mels frames"]
    samples: Float[Tensor, "samples"]

    @property
    def n_frames(self) -> int:
        """Length of the spec."""
        return self.spec.shape[-1]


@dataclass(frozen=True, kw_only=True)
class VocoderBatch:
    """Several items, padded with silence to the longest one."""

    spec: Float[Tensor, "batch mels frames"]
    wave: Float[Tensor, "batch 1 samples"]
    n_frames: Int[Tensor, "batch"]

    def to(self, device: torch.device | str) -> "VocoderBatch":
        """The same on another device."""
        return VocoderBatch(
            spec=self.spec.to(device), wave=self.wave.to(device), n_frames=self.n_frames.to(device)
        )


def cut(
    item: VocoderItem, start_frame: int, n_frames: int, *, hop_samples: int, silence: float
) -> VocoderItem:
    """Exactly `n_frames` from `start_frame` on, with their samples; past the end there is silence.

    Args:
        item: A whole utterance.
        start_frame: Below `n_starts(item, n_frames)` where nothing is to be padded needlessly.
        n_frames: Length of the segment.
        hop_samples: Samples per frame.
        silence: `MelSpec.silence`. Zero, in the logarithm, would be loud.
    """
    _require_same_length(item, hop_samples)
    if not 0 <= start_frame < item.n_frames:
        raise DataError(
            "a segment starts outside its utterance",
            expected=f"a frame from 0 to {item.n_frames - 1}",
            found=str(start_frame),
        )
    end_frame = start_frame + n_frames
    segment = VocoderItem(
        spec=item.spec[:, start_frame:end_frame],
        samples=item.samples[start_frame * hop_samples : end_frame * hop_samples],
    )
    return _lengthened(segment, n_frames, hop_samples, silence)


def n_starts(item: VocoderItem, n_frames: int) -> int:
    """From how many frames a segment of `n_frames` may start: 1 where the utterance is shorter."""
    return max(1, item.n_frames - n_frames + 1)


def collate(items: Sequence[VocoderItem], *, hop_samples: int, silence: float) -> VocoderBatch:
    """One batch, padded with silence to the longest item; `n_frames` says what is real."""
    if not items:
        raise DataError("a batch needs at least one utterance", found="none")
    for item in items:
        _require_same_length(item, hop_samples)
    longest = max(item.n_frames for item in items)
    padded = [_lengthened(item, longest, hop_samples, silence) for item in items]
    return VocoderBatch(
        spec=torch.stack([item.spec for item in padded]),
        wave=torch.stack([item.samples for item in padded]).unsqueeze(1),
        n_frames=torch.tensor([item.n_frames for item in items]),
    )


def _lengthened(item: VocoderItem, n_frames: int, hop_samples: int, silence: float) -> VocoderItem:
    missing = n_frames - item.n_frames
    if missing <= 0:
        return item
    return VocoderItem(
        spec=functional.pad(item.spec, (0, missing), value=silence),
        samples=functional.pad(item.samples, (0, missing * hop_samples)),
    )


def _require_same_length(item: VocoderItem, hop_samples: int) -> None:
    expected, found = item.n_frames * hop_samples, len(item.samples)
    if expected != found or not found:
        raise DataError(
            "a spec and its recording are not equally long",
            expected=f"{expected} samples for {item.n_frames} frames of {hop_samples}",
            found=f"{found} samples",
            do="prepare this utterance again; teacher forcing makes predicted specs of the right length",
        )

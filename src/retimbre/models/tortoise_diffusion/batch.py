"""From latents and recordings to batches for the diffusion decoder: together is only what is equally long.

Attention over all frames, norms over time and convolutions would all see padding, so there is none. What
inference computes for an utterance, training computes too, to the last bits of sums.

Axes used in this file:
    batch        utterances of one length
    codes        of each of them
    latent       channels of the autoregressive model's latents
    mels         bands of the spectrogram
    frames       of the spectrogram
    clips        recordings of the voice
    clip_frames  of their spectrograms
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from retimbre.errors import DataError


@dataclass(frozen=True, kw_only=True, eq=False)
class DiffusionItem:
    """One utterance: what the decoder reads, and what it should give.

    Args:
        latents: Of the autoregressive model, at the true codes.
        spec: Of the recording, normalised to -1..1 and as long as inference makes it from so many codes.
        clips: From which the voice is heard, not normalised.
    """

    latents: Float[Tensor, "codes latent"]
    spec: Float[Tensor, "mels frames"]
    clips: Float[Tensor, "clips mels clip_frames"]

    @property
    def n_frames(self) -> int:
        """Length of the spec."""
        return self.spec.shape[-1]

    @property
    def shapes(self) -> tuple[torch.Size, ...]:
        """Items of the same shapes can be together."""
        return self.latents.shape, self.spec.shape, self.clips.shape


@dataclass(frozen=True, kw_only=True, eq=False)
class DiffusionBatch:
    """Equally long utterances: all of a batch, or a part of it.

    Args:
        n_frames_in_all: Of the whole batch, so that the losses of its parts add up to its mean.
    """

    latents: Float[Tensor, "batch codes latent"]
    spec: Float[Tensor, "batch mels frames"]
    clips: Float[Tensor, "batch clips mels clip_frames"]
    n_frames_in_all: int

    @property
    def share(self) -> float:
        """Of the frames of the whole batch."""
        return self.spec.shape[0] * self.spec.shape[-1] / self.n_frames_in_all

    def to(self, device: torch.device | str) -> "DiffusionBatch":
        """The same on another device."""
        return DiffusionBatch(
            latents=self.latents.to(device),
            spec=self.spec.to(device),
            clips=self.clips.to(device),
            n_frames_in_all=self.n_frames_in_all,
        )


def collate(items: Sequence[DiffusionItem], *, most_together: int) -> tuple[DiffusionBatch, ...]:
    """The parts of a batch: in each, utterances of the same length, at most `most_together` of them.

    Raises:
        DataError: if there is none.
    """
    if not items:
        raise DataError("a batch needs at least one utterance", found="none")
    alike: dict[tuple[torch.Size, ...], list[DiffusionItem]] = {}
    for item in items:
        alike.setdefault(item.shapes, []).append(item)
    groups = [
        group[start : start + most_together]
        for group in alike.values()
        for start in range(0, len(group), most_together)
    ]
    n_frames_in_all = sum(item.n_frames for item in items)
    return tuple(
        DiffusionBatch(
            latents=torch.stack([item.latents for item in group]),
            spec=torch.stack([item.spec for item in group]),
            clips=torch.stack([item.clips for item in group]),
            n_frames_in_all=n_frames_in_all,
        )
        for group in groups
    )

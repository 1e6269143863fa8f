"""What a vocoder hears in a step: random segments of whole utterances.

Axes used in this file:
    samples  of a recording
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.data import Dataset

from retimbre.audio.mel import MelSpec
from retimbre.models.hifigan.batch import VocoderItem, cut, n_starts
from retimbre.training.batching import Key, item_random


class SegmentDataset(Dataset[VocoderItem]):
    """Random segments of whole utterances, the place drawn anew in every pass.

    Args:
        items: Whole utterances.
        mel: Their spectrogram at the rate of the waveform.
        segment_frames: Length of a segment.
        seed: Of the places.
        target_delay_samples: How much later than its spec the waveform comes.
        pads_short: An utterance shorter than a segment becomes one by silence; or else stays as short.
    """

    def __init__(
        self,
        items: Sequence[VocoderItem],
        mel: MelSpec,
        *,
        segment_frames: int,
        seed: int,
        target_delay_samples: int = 0,
        pads_short: bool = True,
    ) -> None:
        self.items = [replace(item, samples=delayed(item.samples, target_delay_samples)) for item in items]
        self.mel, self.segment_frames, self.seed = mel, segment_frames, seed
        self.pads_short = pads_short

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, key: Key) -> VocoderItem:
        item = self.items[key.item]
        start = int(item_random(self.seed, key).integers(n_starts(item, self.segment_frames)))
        return cut(
            item,
            start,
            self.frames_of(key.item),
            hop_samples=self.mel.hop_samples,
            silence=self.mel.silence,
        )

    def frames_of(self, number: int) -> int:
        """How long the segments of an utterance are."""
        if self.pads_short:
            return self.segment_frames
        return min(self.segment_frames, self.items[number].n_frames)


def delayed(samples: Float[Tensor, "samples"], n_samples: int) -> Float[Tensor, "samples"]:
    """The same length, `n_samples` later (earlier if negative), with silence where nothing was."""
    if n_samples == 0:
        return samples
    moved = torch.zeros_like(samples)
    if n_samples > 0:
        moved[n_samples:] = samples[:-n_samples]
    else:
        moved[:n_samples] = samples[-n_samples:]
    return moved

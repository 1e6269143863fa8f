"""From spectrograms of unequal length to batches, with the counts that their losses are means over.

Axes used in this file:
    batch   utterances or segments
    mels    bands of the spectrogram
    frames  of the longest spectrogram
    codes   of the longest one
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from retimbre.errors import DataError
from retimbre.models.tortoise_dvae.config import DvaeConfig

Length = TypeVar("Length", int, Tensor)


@dataclass(frozen=True, kw_only=True, eq=False)
class DvaeItem:
    """One recording, or a segment of one.

    Args:
        spec: As the network reads it: TorToiSe's, divided by its norms.
        codes: What it is to be decoded from, where the encoder takes no part; else None.
    """

    spec: Float[Tensor, "mels frames"]
    codes: Int[Tensor, "codes"] | None = None

    @property
    def n_frames(self) -> int:
        """Length of the spec."""
        return self.spec.shape[-1]


@dataclass(frozen=True, kw_only=True, eq=False)
class DvaeBatch:
    """Several items, padded with zeros; or a part of a batch, which shares the counts of the whole.

    Args:
        codes: Of each item, where they were given.
        n_compared_in_all: Frames of the whole batch that there is something to compare with.
        n_codes_in_all: Codes of the whole batch.
    """

    spec: Float[Tensor, "batch mels frames"]
    n_frames: Int[Tensor, "batch"]
    codes: Int[Tensor, "batch codes"] | None
    n_compared_in_all: int
    n_codes_in_all: int

    def to(self, device: torch.device | str) -> "DvaeBatch":
        """The same on another device."""
        return replace(
            self,
            spec=self.spec.to(device),
            n_frames=self.n_frames.to(device),
            codes=None if self.codes is None else self.codes.to(device),
        )


def frames_per_code(config: DvaeConfig) -> int:
    """How many frames further each code begins."""
    return int(config.stride**config.n_layers)


def compared_frames(config: DvaeConfig, n_frames: Length) -> Length:
    """Frames of a spec that its codes give back: all of them, unless the kernels are even."""
    decoded = config.frames_in(config.codes_in(n_frames))
    if isinstance(n_frames, Tensor):
        return torch.minimum(n_frames, decoded)
    return min(n_frames, decoded)


def cut(item: DvaeItem, start_frame: int, n_frames: int, config: DvaeConfig) -> DvaeItem:
    """The segment from `start_frame` on, at most `n_frames` long.

    With codes, `start_frame` is where one of them begins: a multiple of `frames_per_code`.
    """
    spec = item.spec[:, start_frame : start_frame + n_frames]
    if item.codes is None:
        return DvaeItem(spec=spec)
    first = start_frame // frames_per_code(config)
    return DvaeItem(spec=spec, codes=item.codes[first : first + config.codes_in(spec.shape[-1])])


def n_starts(item: DvaeItem, n_frames: int, config: DvaeConfig) -> int:
    """In how many places a segment of `n_frames` may be cut: 1 where the recording is shorter."""
    step = 1 if item.codes is None else frames_per_code(config)
    return max(0, item.n_frames - n_frames) // step + 1


def collate(items: Sequence[DvaeItem], config: DvaeConfig, *, n_parts: int = 1) -> tuple[DvaeBatch, ...]:
    """One batch in at most `n_parts` parts, each padded to its own longest item.

    Raises:
        DataError: if there is no item, or one that is too short or has another number of codes than frames.
    """
    if not items:
        raise DataError("a batch needs at least one utterance", found="none")
    for item in items:
        _require_codes(item, config)
    n_compared = sum(compared_frames(config, item.n_frames) for item in items)
    n_codes = sum(config.codes_in(item.n_frames) for item in items)
    n_in_part = -(-len(items) // n_parts)
    starts = range(0, len(items), n_in_part)
    return tuple(_padded(items[start : start + n_in_part], n_compared, n_codes) for start in starts)


def _padded(items: Sequence[DvaeItem], n_compared: int, n_codes: int) -> DvaeBatch:
    longest = max(item.n_frames for item in items)
    specs = [functional.pad(item.spec, (0, longest - item.n_frames)) for item in items]
    codes = [item.codes for item in items if item.codes is not None]
    if codes and len(codes) < len(items):
        raise DataError("some items of a batch have codes and others have none", expected="all or none")
    return DvaeBatch(
        spec=torch.stack(specs),
        n_frames=torch.tensor([item.n_frames for item in items]),
        codes=torch.nn.utils.rnn.pad_sequence(codes, batch_first=True) if codes else None,
        n_compared_in_all=n_compared,
        n_codes_in_all=n_codes,
    )


def _require_codes(item: DvaeItem, config: DvaeConfig) -> None:
    n_codes = config.codes_in(item.n_frames)
    if n_codes < 1:
        raise DataError("a recording is too short for a single code", found=f"{item.n_frames} frames")
    if item.codes is not None and len(item.codes) != n_codes:
        raise DataError(
            "a spec and its codes do not belong together",
            expected=f"{n_codes} codes for {item.n_frames} frames",
            found=str(len(item.codes)),
            do="make the codes again with this network",
        )

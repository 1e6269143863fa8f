"""Batch: utterances side by side, padded to the longest.

Axes used in this file:
    batch    utterances
    symbols  symbols of the longest utterance, padded
    frames   frames of the longest utterance, padded
    mels     bands of a spec
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import TypeVar

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from retimbre.errors import DataError, TextError

Tensors = TypeVar("Tensors", "TextBatch", "Reference", "Batch")
PADDING_SYMBOL = 0


@dataclass(frozen=True, kw_only=True)
class TextBatch:
    """Texts to be spoken; `speaker` and `language` are rows of the tables, 0 where there is only one."""

    symbols: Int[Tensor, "batch symbols"]
    n_symbols: Int[Tensor, "batch"]
    speaker: Int[Tensor, "batch"]
    language: Int[Tensor, "batch"]

    def to(self, device: torch.device | str) -> "TextBatch":
        """The same on another device."""
        return _moved(self, device)


@dataclass(frozen=True, kw_only=True)
class Reference:
    """Recordings whose style is to be followed, one for each text; for a network with style tokens."""

    spec: Float[Tensor, "batch frames mels"]
    n_frames: Int[Tensor, "batch"]

    def to(self, device: torch.device | str) -> "Reference":
        """The same on another device."""
        return _moved(self, device)


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Recordings and their texts.

    Args:
        spec: Padding is silence.
        pitch: Normalised; of each frame, or of each symbol if `is_per_symbol`.
        energy: Likewise.
        durations: Frames of each symbol, or None if the network finds them out.
        is_per_symbol: Have pitch and energy been averaged beforehand? Only with durations.
    """

    symbols: Int[Tensor, "batch symbols"]
    n_symbols: Int[Tensor, "batch"]
    spec: Float[Tensor, "batch frames mels"]
    n_frames: Int[Tensor, "batch"]
    pitch: Float[Tensor, "batch times"]
    energy: Float[Tensor, "batch times"]
    speaker: Int[Tensor, "batch"]
    language: Int[Tensor, "batch"]
    durations: Int[Tensor, "batch symbols"] | None = None
    is_per_symbol: bool = False

    @property
    def text(self) -> TextBatch:
        """What is spoken, without the recordings."""
        return TextBatch(
            symbols=self.symbols, n_symbols=self.n_symbols, speaker=self.speaker, language=self.language
        )

    @property
    def reference(self) -> Reference:
        """The recordings as their own reference of style."""
        return Reference(spec=self.spec, n_frames=self.n_frames)

    def to(self, device: torch.device | str) -> "Batch":
        """The same on another device."""
        return _moved(self, device)


@dataclass(frozen=True, kw_only=True)
class Item:
    """One utterance, before padding. `name` is only for messages.

    Args:
        pitch: Normalised; of each frame, or of each symbol where durations are given.
        energy: Likewise.
    """

    symbols: Int[Tensor, "symbols"]
    spec: Float[Tensor, "mels frames"]
    pitch: Float[Tensor, "times"]
    energy: Float[Tensor, "times"]
    speaker: int = 0
    language: int = 0
    durations: Int[Tensor, "symbols"] | None = None
    name: str = "an utterance"

    def __post_init__(self) -> None:
        n_symbols, n_frames = len(self.symbols), self.spec.shape[1]
        if n_symbols == 0:
            self._refuse("no symbols", "at least one symbol", "none")
        if len(self.pitch) != n_frames and not self.is_per_symbol:
            self._refuse(
                "pitch and energy of another length", f"{n_frames} as the spec", f"{len(self.pitch)}"
            )
        if self.durations is None and n_frames < n_symbols:
            self._refuse("too few frames for its text", f"at least {n_symbols}", f"{n_frames}")
        if self.durations is not None and int(self.durations.sum()) != n_frames:
            total = int(self.durations.sum())
            self._refuse("durations of another length", f"{n_frames} frames as the spec", f"{total}")

    @property
    def is_per_symbol(self) -> bool:
        """Have pitch and energy been averaged over each symbol beforehand?"""
        n_values = len(self.pitch)
        return self.durations is not None and n_values == len(self.symbols) != self.spec.shape[1]

    def _refuse(self, what: str, expected: str, found: str) -> None:
        raise DataError(f"{self.name} has {what}", expected=expected, found=found)


def collate(items: Sequence[Item], pad_spec: float) -> Batch:
    """Items side by side; `pad_spec` is the value of silence (`MelSpec.silence`), because 0 is loud."""
    _require_alike("durations for all utterances or for none", items, lambda item: item.durations is None)
    _require_alike("pitch per symbol or per frame", items, lambda item: item.is_per_symbol)
    durations = [item.durations for item in items if item.durations is not None]
    return Batch(
        symbols=_side_by_side([item.symbols for item in items], PADDING_SYMBOL),
        n_symbols=torch.tensor([len(item.symbols) for item in items]),
        spec=_side_by_side([item.spec.T for item in items], pad_spec),
        n_frames=torch.tensor([item.spec.shape[1] for item in items]),
        pitch=_side_by_side([item.pitch for item in items], 0.0),
        energy=_side_by_side([item.energy for item in items], 0.0),
        speaker=torch.tensor([item.speaker for item in items]),
        language=torch.tensor([item.language for item in items]),
        durations=_side_by_side(durations, 0) if durations else None,
        is_per_symbol=items[0].is_per_symbol,
    )


def text_batch(
    texts: Sequence[Sequence[int]], *, speaker: Sequence[int] = (), language: Sequence[int] = ()
) -> TextBatch:
    """Texts, as numbers of symbols, side by side; speaker and language are 0 where none are given."""
    if not texts or not all(texts):
        raise TextError(
            "nothing to speak", expected="at least one symbol in every text", found="an empty text"
        )
    return TextBatch(
        symbols=_side_by_side([torch.tensor(text) for text in texts], PADDING_SYMBOL),
        n_symbols=torch.tensor([len(text) for text in texts]),
        speaker=torch.tensor(speaker or [0] * len(texts)),
        language=torch.tensor(language or [0] * len(texts)),
    )


def reference_batch(specs: Sequence[Float[Tensor, "mels _"]]) -> Reference:
    """Specs of recordings side by side."""
    return Reference(
        spec=_side_by_side([spec.T for spec in specs], 0.0),
        n_frames=torch.tensor([spec.shape[1] for spec in specs]),
    )


def _side_by_side(rows: Sequence[Tensor], padding: int | float) -> Tensor:
    return pad_sequence(list(rows), batch_first=True, padding_value=padding)


def _require_alike(rule: str, items: Sequence[Item], kind: Callable[[Item], bool]) -> None:
    kinds = [kind(item) for item in items]
    if len(set(kinds)) > 1:
        other = items[kinds.index(not kinds[0])].name
        raise DataError(
            "utterances of a batch differ", expected=rule, found=f"{items[0].name} unlike {other}"
        )


def _moved(batch: Tensors, device: torch.device | str) -> Tensors:
    values = {field.name: getattr(batch, field.name) for field in fields(batch)}
    for name, value in values.items():
        if isinstance(value, Tensor):
            values[name] = value.to(device, non_blocking=True)
    return type(batch)(**values)

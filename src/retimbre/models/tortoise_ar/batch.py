"""From texts, codes and recordings of voices to batches for learning.

Axes used in this file:
    batch    utterances
    symbols  of a text
    codes    of its sound
    text     places of the longest text: from its start to its stop, then padding
    sound    places of the longest sound: from its start to its last code, then padding
    clips    recordings of the voice
    mels     bands of their spectrograms
    frames   of their spectrograms
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from retimbre.errors import DataError
from retimbre.models.tortoise_ar.config import END, UnifiedVoiceConfig

N_TEXT_ENDS = 3  # start, the end that speaking adds, stop


@dataclass(frozen=True, kw_only=True)
class CodesItem:
    """One utterance: what is said, as which codes, and from which recordings its voice is heard."""

    symbols: Int[Tensor, "symbols"]  # without start, end and stop
    codes: Int[Tensor, "codes"]  # without start and stop; none of padding
    clips: Float[Tensor, "clips mels frames"]

    @property
    def length(self) -> int:
        """Symbols and codes together: what decides how long it takes."""
        return len(self.symbols) + len(self.codes)


@dataclass(frozen=True, kw_only=True)
class CodesBatch:
    """Several utterances, each as it is read when it is spoken, and then padding.

    Args:
        symbols: Each text between its start and its stop.
        n_symbols: Of each text, without start, end and stop.
        codes: Each sound from its start on. Its stop is predicted and never read.
        n_codes: Of each sound, without start and stop.
        n_symbols_in_all: Predictions of symbols in the whole batch, of which this may be a part.
        n_codes_in_all: Likewise of codes, the stops among them.
    """

    symbols: Int[Tensor, "batch text"]
    n_symbols: tuple[int, ...]
    codes: Int[Tensor, "batch sound"]
    n_codes: tuple[int, ...]
    clips: Float[Tensor, "batch clips mels frames"]
    n_symbols_in_all: int
    n_codes_in_all: int

    def to(self, device: torch.device | str) -> "CodesBatch":
        """The same on another device."""
        return replace(
            self,
            symbols=self.symbols.to(device),
            codes=self.codes.to(device),
            clips=self.clips.to(device),
        )


def collate(
    items: Sequence[CodesItem], *, config: UnifiedVoiceConfig, n_parts: int = 1
) -> tuple[CodesBatch, ...]:
    """One batch in at most `n_parts` parts, utterances of similar length together.

    Raises:
        DataError: there is no utterance, or one without text, codes or recordings of its voice.
    """
    _require_something(items)
    in_all = {
        "n_symbols_in_all": sum(len(item.symbols) + 1 for item in items),
        "n_codes_in_all": sum(len(item.codes) + 1 for item in items),
    }
    ordered = sorted(items, key=lambda item: item.length) if n_parts > 1 else list(items)
    return tuple(_part(part, config, in_all) for part in shares(ordered, n_parts))


def shares(items: Sequence[CodesItem], n: int) -> list[Sequence[CodesItem]]:
    """Neighbours together, in at most `n` shares of which none has two items more than another."""
    n = min(n, len(items))
    ends = [round(number * len(items) / n) for number in range(n + 1)]
    return [items[first:end] for first, end in pairwise(ends)]


def _part(items: Sequence[CodesItem], config: UnifiedVoiceConfig, in_all: dict[str, int]) -> CodesBatch:
    start, stop = config.start_symbol, config.stop_symbol
    texts = [functional.pad(_ended(item.symbols), (1, 0), value=start) for item in items]
    texts = [functional.pad(text, (0, 1), value=stop) for text in texts]
    sounds = [functional.pad(item.codes, (1, 0), value=config.start_code) for item in items]
    return CodesBatch(
        symbols=pad_sequence(texts, batch_first=True, padding_value=stop),
        n_symbols=tuple(len(item.symbols) for item in items),
        codes=pad_sequence(sounds, batch_first=True, padding_value=config.stop_code),
        n_codes=tuple(len(item.codes) for item in items),
        clips=torch.stack([item.clips for item in items]),
        **in_all,
    )


def _ended(symbols: Int[Tensor, "symbols"]) -> Int[Tensor, "symbols_and_end"]:
    return functional.pad(symbols, (0, 1), value=END)


def _require_something(items: Sequence[CodesItem]) -> None:
    if not items:
        raise DataError("a batch needs at least one utterance", found="none")
    for item in items:
        for what, n in (("symbols", item.symbols), ("codes", item.codes), ("recordings", item.clips)):
            if not len(n):
                raise DataError(
                    "an utterance cannot be learnt",
                    expected="symbols, codes, and recordings of its voice",
                    found=f"no {what}",
                    do="leave it out, or prepare it again",
                )

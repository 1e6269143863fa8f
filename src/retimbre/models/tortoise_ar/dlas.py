"""What DL-Art-School's `unified_voice2` computes when it trains this network, so that its runs can be gone on
with and compared. Speaking computes something else, in three ways:

- The blocks that hear the voice add their normalised input, whatever the sizes of the network say.
- Each recording has a place of its own, and scores of the text are read one place too early if there are two.
- As its example sets it (`tortoise_compat`), recordings are taken to be 1,024 times as long as they are. So
  nothing is shortened and nothing marked as padding: each sound goes on in silence to the longest allowed
  one, and stops there. Without that, each sound stops where it ends, and stops go on to the longest.

Means are taken over all places, padding among them. Behaviour as of commit 5ab4d9ed.

Axes used in this file:
    batch    utterances
    symbols  of a text, or of the longest one
    codes    of a sound, or of the longest one
    text     places of a text: its start, its symbols, a stop
    sound    places of a sound: its start, its codes, a stop
    clips    recordings of the voice
    mels     bands of their spectrograms
    frames   of their spectrograms
    dim      channels
    rows     of a table
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from retimbre.errors import DataError
from retimbre.models.tortoise_ar.config import UnifiedVoiceConfig
from retimbre.models.tortoise_ar.loss import LossWeights
from retimbre.models.tortoise_ar.model import UnifiedVoice


@dataclass(frozen=True, kw_only=True)
class DlasItem:
    """One utterance as DL-Art-School reads it.

    Args:
        symbols: Without start and stop.
        codes: Of the recording with silence behind it, where `is_compatible`; else of the recording alone.
        n_samples: Of the recording.
        clips: From which its voice is heard.
    """

    symbols: Int[Tensor, "symbols"]
    codes: Int[Tensor, "codes"]
    n_samples: int
    clips: Float[Tensor, "clips mels frames"]


@dataclass(frozen=True, kw_only=True)
class DlasBatch:
    """Several utterances, shortened and padded.

    Args:
        symbols: Stops as padding.
        codes: Likewise.
        share: Of the losses of the whole batch that this part has.
    """

    symbols: Int[Tensor, "batch symbols"]
    codes: Int[Tensor, "batch codes"]
    clips: Float[Tensor, "batch clips mels frames"]
    share: float = 1.0

    def to(self, device: torch.device | str) -> "DlasBatch":
        """The same on another device."""
        moved = {name: getattr(self, name).to(device) for name in ("symbols", "codes", "clips")}
        return replace(self, **moved)


@dataclass(frozen=True, kw_only=True)
class DlasThoughts:
    """What the network thinks at the places whose scores are compared with symbols, and with codes."""

    symbols: Float[Tensor, "batch text dim"]
    codes: Float[Tensor, "batch sound dim"]


def dlas_collate(
    items: Sequence[DlasItem], *, config: UnifiedVoiceConfig, n_parts: int = 1, is_compatible: bool = True
) -> tuple[DlasBatch, ...]:
    """One batch in at most `n_parts` parts, each padded for itself and of equal weight.

    Args:
        is_compatible: With `tortoise_compat`.

    Raises:
        DataError: there is no utterance.
    """
    if not items:
        raise DataError("a batch needs at least one utterance", found="none")
    n_each = -(-len(items) // n_parts)
    parts = [items[first : first + n_each] for first in range(0, len(items), n_each)]
    return tuple(_part(part, config, is_compatible, 1 / len(parts)) for part in parts)


def _part(
    items: Sequence[DlasItem], config: UnifiedVoiceConfig, is_compatible: bool, share: float
) -> DlasBatch:
    texts = pad_sequence([i.symbols for i in items], batch_first=True, padding_value=config.stop_symbol)
    sounds = pad_sequence([i.codes for i in items], batch_first=True, padding_value=config.stop_code)
    # With the flag a number of samples is taken for a number of codes, which no sound comes to.
    unit = 1 if is_compatible else config.samples_per_code
    n_codes = torch.tensor([item.n_samples // unit for item in items])
    return DlasBatch(
        symbols=texts,
        codes=with_stops(sounds, n_codes, config.stop_code),
        clips=torch.stack([item.clips for item in items]),
        share=share,
    )


def with_stops(
    codes: Int[Tensor, "batch codes"], n_codes: Int[Tensor, "batch"], stop: int
) -> Int[Tensor, "batch kept"]:
    """Sounds no longer than the longest has codes, with stops behind each; one code too many is kept of all
    that are shorter."""
    codes = codes[:, : int(n_codes.max())]
    is_padding = torch.arange(codes.shape[1]) > n_codes.unsqueeze(1)
    return codes.masked_fill(is_padding, stop)


def dlas_losses(
    model: UnifiedVoice, batch: DlasBatch, weights: LossWeights, *, averages_clips: bool = False
) -> dict[str, Tensor]:
    """Both losses, weighted: the means over all places of this part, times its share of the batch.

    Args:
        averages_clips: One place for all recordings: `average_conditioning_embeddings`.
    """
    thoughts = dlas_thoughts(model, batch, averages_clips=averages_clips)
    stops = model.config.stop_symbol, model.config.stop_code
    of_text = _surprise(model.text_head(thoughts.symbols), batch.symbols, stops[0])
    of_codes = _surprise(model.mel_head(thoughts.codes), batch.codes, stops[1])
    return {"text": batch.share * weights.text * of_text, "codes": batch.share * weights.codes * of_codes}


def dlas_thoughts(model: UnifiedVoice, batch: DlasBatch, *, averages_clips: bool = False) -> DlasThoughts:
    """One pass, up to the heads."""
    text, sound = model.framed_symbols(batch.symbols), model.framed_codes(batch.codes)
    heard = model.conditioning_encoder(batch.clips.flatten(0, 1), residual="norm(x) + h")
    voices = heard.unflatten(0, batch.clips.shape[:2])
    if averages_clips:
        voices = voices.mean(dim=1, keepdim=True)
    places = model.states(voices, text, sound)
    # Its quirk: one place is passed over, however many the voice has. Kept, since its runs were so trained;
    # pinned by test_losses_and_gradients_equal_the_trainer.
    return DlasThoughts(symbols=places[:, 1 : 1 + text.shape[1]], codes=places[:, -sound.shape[1] :])


def _surprise(
    scores: Float[Tensor, "batch places rows"], ids: Int[Tensor, "batch n"], stop: int
) -> Float[Tensor, ""]:
    targets = functional.pad(ids, (0, 2), value=stop)  # the stop, and what follows it
    return functional.cross_entropy(scores.float().flatten(0, 1), targets.flatten())

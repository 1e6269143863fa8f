"""A text of any length, spoken piece by piece: one spec, and when each symbol and word of it is spoken."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from retimbre.models.fastspeech2.variance import Controls
from retimbre.models.load import Loaded
from retimbre.pipelines.everyvoice import speak_ids
from retimbre.pipelines.pieces import Piece
from retimbre.pipelines.timing import Times, joined, times_of


@dataclass(frozen=True, kw_only=True)
class Said:
    """The spec of all pieces, one after the other, and their times."""

    spec: Float[Tensor, "mels frames"]
    times: Times


def speak_pieces(
    pieces: Sequence[Piece],
    loaded: Loaded,
    *,
    speaker: str | None = None,
    language: str | None = None,
    controls: Controls | None = None,
    style: Float[Tensor, "mels frames"] | None = None,
) -> Said:
    """What the text-to-spec model makes of the pieces of a text; one at a time, so none changes another."""
    spoken = [
        speak_ids(piece.ids, loaded, speaker=speaker, language=language, controls=controls, style=style)
        for piece in pieces
    ]
    times = joined(times_of(piece, one.durations) for piece, one in zip(pieces, spoken, strict=True))
    return Said(spec=torch.cat([one.spec for one in spoken], dim=1), times=times)

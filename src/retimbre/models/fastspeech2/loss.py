"""Losses of FastSpeech 2: pure functions, each a mean over real frames or symbols, never over padding.

Axes used in this file:
    batch    utterances
    symbols  symbols of the longest utterance, padded
    frames   frames of the longest utterance, padded
    times    symbols or frames
    mels     bands of a spec
"""

import math
from dataclasses import dataclass
from enum import StrEnum

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from retimbre.models.fastspeech2.alignment import IMPOSSIBLE, Alignment
from retimbre.models.fastspeech2.batch import Batch
from retimbre.models.fastspeech2.model import Output
from retimbre.nn.masks import mask_from_lengths

BLANK_LOG_PROB = -1.0
LEAST_LOG_PROB = math.log(1e-12)


class Distance(StrEnum):
    """How far two numbers are apart."""

    MSE = "mse"
    MAE = "mae"


@dataclass(frozen=True, kw_only=True)
class LossWeights:
    """How much each loss counts, and how it measures; the defaults are EveryVoice's."""

    spec: float = 1.0
    postnet: float = 1.0
    pitch: float = 0.1
    energy: float = 0.1
    duration: float = 0.1
    attn_ctc: float = 0.1
    attn_bin: float = 0.1
    spec_distance: Distance = Distance.MSE
    pitch_distance: Distance = Distance.MSE
    energy_distance: Distance = Distance.MSE
    duration_distance: Distance = Distance.MSE


def text_to_spec_losses(
    output: Output, batch: Batch, weights: LossWeights, binarisation: float
) -> dict[str, Tensor]:
    """Every loss, already weighted, by the name that EveryVoice logs it under.

    Args:
        binarisation: From 0 to 1, how much of `attn_bin` counts by now: soft alignments come first.
    """
    w, predicted, true = weights, output.prosody, output.truth
    is_symbol = mask_from_lengths(batch.n_symbols, batch.symbols.shape[1])
    is_cell = mask_from_lengths(batch.n_frames, batch.spec.shape[1]).unsqueeze(-1).expand_as(batch.spec)
    log_durations = (predicted.timing.durations.float() + 1).log()
    losses = {
        "spec": w.spec * _mean_distance(w.spec_distance, output.spec, batch.spec, is_cell),
        "pitch": w.pitch * _mean_distance(w.pitch_distance, predicted.pitch, true.pitch, predicted.is_pitch),
        "energy": w.energy
        * _mean_distance(w.energy_distance, predicted.energy, true.energy, predicted.is_energy),
        "duration": w.duration
        * _mean_distance(w.duration_distance, predicted.log_durations, log_durations, is_symbol),
    }
    if output.refined is not None:
        losses["postnet"] = w.postnet * _mean_distance(w.spec_distance, output.refined, batch.spec, is_cell)
    if output.alignment is not None:
        losses["attn_ctc"] = w.attn_ctc * attention_ctc(output.alignment.log_prob, batch)
        losses["attn_bin"] = w.attn_bin * binarisation * attention_binarisation(output.alignment)
    return losses


def attention_ctc(log_prob: Float[Tensor, "batch frames symbols"], batch: Batch) -> Float[Tensor, ""]:
    """How unlikely all paths together are: a mean over symbols, then over utterances."""
    n_columns = log_prob.shape[2] + 1
    with_blank = functional.pad(log_prob.float(), (1, 0), value=BLANK_LOG_PROB)
    is_column = mask_from_lengths(batch.n_symbols + 1, n_columns).unsqueeze(1)
    normalised = with_blank.masked_fill(~is_column, IMPOSSIBLE).log_softmax(-1)
    targets = torch.arange(1, n_columns, device=log_prob.device).expand(len(log_prob), -1)
    return functional.ctc_loss(
        normalised.transpose(0, 1), targets, batch.n_frames, batch.n_symbols, zero_infinity=True
    )


def attention_binarisation(alignment: Alignment) -> Float[Tensor, ""]:
    """How far the soft alignment is from the best path: a mean over frames."""
    timing = alignment.timing
    on_path = alignment.log_soft.gather(2, timing.symbol_of_frame.unsqueeze(-1)).squeeze(-1)
    return -_mean_over(on_path.clamp(min=LEAST_LOG_PROB), timing.is_frame)


def _mean_distance(
    kind: Distance, ours: Float[Tensor, "*axes"], true: Float[Tensor, "*axes"], is_real: Bool[Tensor, "*axes"]
) -> Float[Tensor, ""]:
    difference = ours.float() - true
    return _mean_over(difference.square() if kind is Distance.MSE else difference.abs(), is_real)


def _mean_over(values: Float[Tensor, "*axes"], is_real: Bool[Tensor, "*axes"]) -> Float[Tensor, ""]:
    # Zeros take the place of padding before the sum, so that nothing in padding can spoil it.
    return values.masked_fill(~is_real, 0.0).sum() / is_real.sum()

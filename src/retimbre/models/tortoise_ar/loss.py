"""What learning to speak minimises: how surprising the next symbol, and the next code, is.

Exactly what speaking computes is what learns: one voice, its text, its codes, in one row without gaps, each
row as long as its utterance. Padding stands behind the end of a row, where no real place can see it.

Axes used in this file:
    dim      channels
    symbols  predictions of symbols in the batch, utterance after utterance
    codes    likewise of codes
    rows     of a table
    n        predictions of one kind
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from retimbre.models.tortoise_ar.batch import N_TEXT_ENDS, CodesBatch
from retimbre.models.tortoise_ar.model import UnifiedVoice


@dataclass(frozen=True, kw_only=True)
class LossWeights:
    """How much each loss counts; the defaults are DL-Art-School's."""

    text: float = 0.01
    codes: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Thoughts:
    """What the network thinks at the places that predict something real, and nowhere else."""

    symbols: Float[Tensor, "symbols dim"]  # from each start to each last symbol
    codes: Float[Tensor, "codes dim"]  # from each start to each last code


def text_to_codes_losses(model: UnifiedVoice, batch: CodesBatch, weights: LossWeights) -> dict[str, Tensor]:
    """Both losses, weighted: this part's share of the mean over all predictions of the whole batch, in nats.

    After the last symbol its end is predicted, and after the last code the stop.
    """
    thoughts, targets = thoughts_of(model, batch), targets_of(batch, model.config.stop_code)
    of_text = _surprise(model.text_head(thoughts.symbols), targets[0]) / batch.n_symbols_in_all
    of_codes = _surprise(model.mel_head(thoughts.codes), targets[1]) / batch.n_codes_in_all
    return {"text": weights.text * of_text, "codes": weights.codes * of_codes}


def thoughts_of(model: UnifiedVoice, batch: CodesBatch) -> Thoughts:
    """One pass through the transformer; the heads, which are wide, are spared all places without a target."""
    # Rows are taken apart by `unbind`: slices of the whole would each have a gradient as large as the whole.
    rows = zip(
        model.conditioning_latent(batch.clips).unsqueeze(1).unbind(),
        model.embedded_symbols(batch.symbols).unbind(),
        model.embedded_codes(batch.codes).unbind(),
        batch.n_symbols,
        batch.n_codes,
        strict=True,
    )
    packed = [
        torch.cat([voice, text[: n_symbols + N_TEXT_ENDS], sound[: n_codes + 1]])
        for voice, text, sound, n_symbols, n_codes in rows
    ]
    states = model.gpt(pad_sequence(packed, batch_first=True)).unbind()
    of_symbols, of_codes = [], []
    for state, n_symbols, n_codes in zip(states, batch.n_symbols, batch.n_codes, strict=True):
        first_code = 1 + n_symbols + N_TEXT_ENDS
        of_symbols.append(state[1 : 1 + n_symbols + 1])
        of_codes.append(state[first_code : first_code + n_codes + 1])
    return Thoughts(
        symbols=model.final_norm(torch.cat(of_symbols)), codes=model.final_norm(torch.cat(of_codes))
    )


def targets_of(batch: CodesBatch, stop_code: int) -> tuple[Int[Tensor, "symbols"], Int[Tensor, "codes"]]:
    """What comes after each place of `Thoughts`: symbols and their ends, codes and their stops."""
    of_symbols = [row[1 : n + 2] for row, n in zip(batch.symbols, batch.n_symbols, strict=True)]
    of_codes = [
        functional.pad(row[1 : n + 1], (0, 1), value=stop_code)
        for row, n in zip(batch.codes, batch.n_codes, strict=True)
    ]
    return torch.cat(of_symbols), torch.cat(of_codes)


def _surprise(scores: Float[Tensor, "n rows"], targets: Int[Tensor, "n"]) -> Float[Tensor, ""]:
    return functional.cross_entropy(scores.float(), targets, reduction="sum")

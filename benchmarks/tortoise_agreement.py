"""Do the precisions in which an autoregressive stage can speak choose the same codes?

Beside each pair: `same place`, the share of true places (the true codes are read) at which both find the same
code most likely; `same drawn` and `same greedy`, the share of sentences whose codes are equal to the last;
and `until`, how much of a sentence passes before the first different one, in percent of the longer.

Axes used in this file:
    codes   of an utterance
    places  its codes and the stop
    each    several times of one utterance
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor
from tortoise_stops import Held, greedy_codes, sampled_codes

from retimbre.models.tortoise_ar.model import UnifiedVoice
from retimbre.nn.packed import Precision
from retimbre.pipelines.tortoise_stages import as_read

PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16", "int8")
N_DRAWN = 2
SEED = 5


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """What one precision makes of one utterance."""

    at_true_places: Int[Tensor, "places"]
    greedy: Int[Tensor, "codes"]
    drawn: Int[Tensor, "each codes"]


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How far two precisions agree about one utterance; each from 0 to 1."""

    same_place: float
    same_greedy: float
    until_greedy: float
    same_drawn: float
    until_drawn: float


def chosen_by(
    load: Callable[[], UnifiedVoice], held: Sequence[Held], precisions: Sequence[Precision] = PRECISIONS
) -> dict[Precision, dict[str, Chosen]]:
    """What each precision makes of each utterance.

    Args:
        load: Gives the network anew: packing takes its weights.
    """
    found: dict[Precision, dict[str, Chosen]] = {}
    for precision in precisions:
        model = load().eval()
        model.pack(precision, rows=1)
        found[precision] = {one.name: chosen(model, one) for one in held}
    return found


@torch.no_grad()
def chosen(model: UnifiedVoice, held: Held) -> Chosen:
    """The codes of one utterance, found in three ways."""
    text = model.framed_symbols(as_read(held.symbols, model))
    sound = model.framed_codes(held.codes.unsqueeze(0))
    logits = model(model.conditioning_latent(held.clips.unsqueeze(0)), text, sound)
    return Chosen(
        at_true_places=logits.codes[0, :-1].argmax(dim=-1),
        greedy=greedy_codes(model, held),
        drawn=sampled_codes(model, held, n_each=N_DRAWN, seed=SEED),
    )


def agreement(one: Chosen, other: Chosen) -> Agreement:
    """Of two precisions about the same utterance."""
    greedy = until_different(one.greedy, other.greedy)
    drawn = [until_different(a, b) for a, b in zip(one.drawn, other.drawn, strict=True)]
    return Agreement(
        same_place=float((one.at_true_places == other.at_true_places).float().mean()),
        same_greedy=float(greedy == 1),
        until_greedy=greedy,
        same_drawn=sum(share == 1 for share in drawn) / len(drawn),
        until_drawn=sum(drawn) / len(drawn),
    )


def until_different(one: Int[Tensor, "codes"], other: Int[Tensor, "other_codes"]) -> float:
    """The share of the longer sequence that passes before the first difference; 1 for equal ones.

    What follows a stop is stops; a sequence that ends earlier differs there.
    """
    longest, both = max(len(one), len(other)), min(len(one), len(other))
    different = (one[:both] != other[:both]).nonzero()
    same = int(different[0]) if len(different) else both
    return 1.0 if len(one) == len(other) == same else same / longest


def agreements(
    found: Mapping[Precision, Mapping[str, Chosen]], *, to: Precision = "float32"
) -> dict[Precision, dict[str, Agreement]]:
    """Every other precision against one, utterance by utterance."""
    return {
        precision: {name: agreement(of_one, found[to][name]) for name, of_one in of_all.items()}
        for precision, of_all in found.items()
        if precision != to
    }

"""Which code comes next: scores that sampling leaves, and a choice among them.

What is left equals what transformers 4.31, under tortoise-tts 3.0.0, leaves, in its order: the penalty on
repeats, typical sampling (https://arxiv.org/abs/2202.00666), temperature, the best `top_k`, and of those the
best that hold `top_p` of the probability together (https://arxiv.org/abs/1904.09751). A choice needs one
random number: a candidate's codes depend on its own numbers and never on what is spoken beside it.

Axes used in this file:
    batch       utterances, or candidates of one
    candidates  the same, where they are numbered
    seen        identifiers that a choice may look back at
    n_codes     rows of the table of codes
    kept        scores that are looked at after the others were left out
    n_numbers   random numbers, one for each code that is spoken
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from retimbre.errors import CheckpointError, DataError
from retimbre.models.tortoise_ar.decoding import Scores, Seen, without_repeats

Kept = Float[Tensor, "batch kept"]

NEVER = -math.inf  # the score of a code that is left out
SEED_BYTES = 8


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How codes are drawn. The defaults are those of tortoise-tts.

    Args:
        temperature: Scores are divided by it: above 1 for more variety, towards 0 for less.
        top_p: The best codes that hold this share of the probability together are kept; 1 keeps all.
        top_k: At most so many are kept, more only where scores are equal; None keeps all. tortoise-tts never
            mentions its 50, which is transformers' own default.
        repetition_penalty: The scores of codes that were seen are made worse by this factor; 1 leaves them.
        typical_mass: Codes about as surprising as the average are kept, until they hold this share; None
            leaves that out, as tortoise-tts does unless it is told otherwise.

    Raises:
        DataError: a value is out of its range.
    """

    temperature: float = 0.8
    top_p: float = 0.8
    top_k: int | None = 50
    repetition_penalty: float = 2.0
    typical_mass: float | None = None

    def __post_init__(self) -> None:
        _require("temperature", self.temperature, "a number above 0", 0 < self.temperature < math.inf)
        _require("top_p", self.top_p, "a number from 0 to 1", 0 <= self.top_p <= 1)
        _require("top_k", self.top_k, "a whole number from 1 on", self.top_k is None or self.top_k >= 1)
        penalty, mass = self.repetition_penalty, self.typical_mass
        _require("repetition_penalty", penalty, "a number above 0", 0 < penalty < math.inf)
        _require("typical_mass", mass, "a number between 0 and 1", mass is None or 0 < mass < 1)

    def scores(self, logits: Scores, seen: Seen) -> Scores:
        """The scores of codes that may be chosen; minus infinity for all others.

        Args:
            logits: Of all codes.
            seen: What the penalty on repeats looks back at; tortoise-tts' own counts each place before the
                start as the code 1 (see `decode`).

        Raises:
            CheckpointError: the scores are no numbers, as those of damaged weights.
        """
        if not logits.abs().amax().isfinite():
            raise CheckpointError(
                "the network gives scores that are no numbers",
                do="see whether its file is damaged: 'retimbre inspect FILE --deep'",
            )
        left = logits.float()
        if self.repetition_penalty != 1:
            left = without_repeats(left, seen, self.repetition_penalty)
        if self.typical_mass is not None:
            left = _typical(left, self.typical_mass)
        left = left / self.temperature
        values, codes = self._best(left)
        if self.top_p < 1:
            values = _nucleus(values, self.top_p)
        return torch.full_like(left, NEVER).scatter(-1, codes, values)

    def _best(self, left: Scores) -> tuple[Kept, Int[Tensor, "batch kept"]]:
        """The best scores, falling, and their codes; all that equal the last of `top_k` are among them.

        Of equal scores the lower code comes first, so that no row depends on the others.
        """
        n_codes = left.shape[-1]
        if self.top_k is None or self.top_k >= n_codes:
            return left.sort(dim=-1, descending=True, stable=True)
        values, codes = left.topk(self.top_k, dim=-1)
        last = values[:, -1:].clamp(min=torch.finfo(left.dtype).min)  # a score that is left out is no equal
        n_kept = int(torch.count_nonzero(left >= last, dim=-1).max())
        codes = (codes if n_kept <= self.top_k else left.topk(n_kept, dim=-1).indices).sort(dim=-1).values
        values, order = left.gather(-1, codes).sort(dim=-1, descending=True, stable=True)
        return values.masked_fill(values < last, NEVER), codes.gather(-1, order)


def choose(scores: Scores, uniform: Float[Tensor, "batch"]) -> Int[Tensor, "batch"]:
    """One code for each row, by the inverse of its cumulative distribution.

    Args:
        scores: As `Sampling.scores` leaves them; a code of minus infinity is never chosen.
        uniform: A number from 0 to below 1 for each row.
    """
    n_left = int(torch.count_nonzero(scores > NEVER, dim=-1).max())
    codes = scores.topk(n_left, dim=-1).indices.sort(dim=-1).values
    left = scores.gather(-1, codes).double()
    # A sum from left to right, so that the zeros of codes that only other rows have left change nothing.
    below = (left - left.amax(dim=-1, keepdim=True)).exp().cumsum(dim=-1)
    threshold = uniform.to(below).unsqueeze(-1) * below[:, -1:]
    return codes.gather(-1, torch.searchsorted(below, threshold, right=True)).squeeze(-1)


def uniforms(
    seed: int, candidates: Sequence[int], n_numbers: int, *, sentence: int = 0
) -> Float[Tensor, "candidates n_numbers"]:
    """Numbers from 0 to below 1: each candidate's depend on the seed, the sentence and its own number alone.

    More numbers of the same candidate begin with the same ones. All are drawn on the CPU: no device differs.
    """
    rows = [generator_of(seed, sentence, candidate) for candidate in candidates]
    return torch.stack([torch.rand(n_numbers, generator=generator) for generator in rows])


def generator_of(*parts: int | str) -> torch.Generator:
    """Another generator on the CPU for each list of numbers and words."""
    digest = hashlib.sha256(",".join(map(str, parts)).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:SEED_BYTES]))


def _nucleus(values: Kept, top_p: float) -> Kept:
    """Falling scores: the worst that hold at most 1 - `top_p` together are left out, never the best one."""
    from_worst = values.flip(-1).softmax(dim=-1).cumsum(dim=-1).flip(-1)
    is_out = from_worst <= 1 - top_p
    is_out[:, 0] = False
    return values.masked_fill(is_out, NEVER)


def _typical(scores: Scores, mass: float) -> Scores:
    """Without the codes that are much more, or much less, surprising than the average."""
    logs = scores.log_softmax(dim=-1)
    entropy = -(logs * logs.exp()).nansum(dim=-1, keepdim=True)
    oddness = (-logs - entropy).abs()
    sorted_oddness, order = oddness.sort(dim=-1)
    held = scores.gather(-1, order).softmax(dim=-1).cumsum(dim=-1)
    last = (held < mass).sum(dim=-1, keepdim=True).clamp(max=scores.shape[-1] - 1)
    return scores.masked_fill(oddness > sorted_oddness.gather(-1, last), NEVER)


def _require(name: str, value: object, expected: str, holds: bool) -> None:
    if not holds:
        raise DataError(f"{name} makes no sense", expected=expected, found=repr(value)[:80])

"""From a text and a voice to codes, one after another.

Axes used in this file:
    prompts  utterances, each a text and a voice
    batch    sequences of codes; each utterance may have several
    symbols  of the text
    codes    chosen so far
    seen     identifiers that a choice may look back at
    n_codes  rows of the table of codes
    dim      channels
"""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from retimbre.models.tortoise_ar.memory import Memory
from retimbre.models.tortoise_ar.model import UnifiedVoice

Scores = Float[Tensor, "batch n_codes"]
Seen = Int[Tensor, "batch seen"]
Rows = Int[Tensor, "batch"]
Choice = Callable[[Scores, Seen, Rows], Int[Tensor, "batch"]]

Voices = Float[Tensor, "prompts 1 dim"]
Text = Int[Tensor, "prompts symbols"]

PLACEHOLDER = 1
MOST_LEFT = 0.75  # of the sequences go on: then the others are dropped, which costs a copy of what was read


def most_likely(scores: Scores, _seen: Seen | None = None, _rows: Rows | None = None) -> Int[Tensor, "batch"]:
    """The code with the highest score."""
    return scores.argmax(dim=-1)


def without_repeats(scores: Scores, seen: Seen, penalty: float) -> Scores:
    """Scores, those of codes that were seen lower: a positive one is divided by `penalty`, a negative one
    multiplied (https://arxiv.org/abs/1909.05858)."""
    before = scores.gather(-1, seen)
    return scores.scatter(-1, seen, torch.where(before < 0, before * penalty, before / penalty))


class Decoding:
    """Sequences of codes as they grow, one code of each at a time.

    Args:
        model: In evaluation mode.
        latent: The voice of each utterance.
        symbols: Of the text, without start and stop.
        max_codes: A sequence has at most so many.
        choose: Which code comes next, from the scores of all codes, what was there before, and the numbers of
            the sequences that are asked for: those that have stopped may be left out.
        n_each: Sequences for each utterance, one after another. They share what was read of its text.
        remember: Read each place once instead of once for each code: the same codes, sooner.
    """

    @torch.no_grad()
    def __init__(
        self,
        model: UnifiedVoice,
        latent: Float[Tensor, "prompts dim"],
        symbols: Int[Tensor, "prompts symbols"],
        *,
        max_codes: int,
        choose: Choice = most_likely,
        n_each: int = 1,
        remember: bool = True,
    ) -> None:
        self._choose, self._stop = choose, model.config.stop_code
        latent, text = latent.unsqueeze(1), model.framed_symbols(symbols)
        kind = _Remembering if remember else _Rereading
        self._reader: _Remembering | _Rereading = kind(model, latent, text, n_each)
        self._codes = text.new_full((len(text) * n_each, max_codes + 1), self._stop)
        self._codes[:, 0] = model.config.start_code
        self._live = torch.arange(len(self._codes), device=text.device)
        self.n_codes = 0  # of each sequence so far

    @property
    def codes(self) -> Int[Tensor, "batch codes"]:
        """So far; from a sequence's stop on, only stops."""
        return self._codes[:, 1 : self.n_codes + 1]

    @property
    def has_stopped(self) -> Bool[Tensor, "batch"]:
        """Which sequences are whole."""
        return (self.codes == self._stop).any(dim=1)

    @property
    def goes_on(self) -> bool:
        """Is there room, and a sequence that has not stopped?"""
        return self.n_codes + 1 < self._codes.shape[1] and not bool(self.has_stopped.all())

    @torch.no_grad()
    def step(self) -> None:
        """One more code of each sequence."""
        so_far = self._codes[self._live, : self.n_codes + 1]
        # Checkpoint quirk: the released penalty on repeats sees the places of the prompt too, as if each held
        # this code. Kept; pinned by test_a_choice_sees_what_the_released_penalty_saw.
        seen = functional.pad(so_far, (1, 0), value=PLACEHOLDER)
        chosen = self._choose(self._reader.scores(so_far), seen, self._live)
        chosen = torch.where(so_far[:, -1] == self._stop, self._stop, chosen)
        self.n_codes += 1
        self._codes[self._live, self.n_codes] = chosen
        going_on = (chosen != self._stop).nonzero().squeeze(1)
        if self._reader.can_drop and 0 < len(going_on) <= MOST_LEFT * len(self._live):
            self._live = self._live[going_on]
            self._reader.keep(going_on)


def decode(
    model: UnifiedVoice,
    latent: Float[Tensor, "prompts dim"],
    symbols: Int[Tensor, "prompts symbols"],
    *,
    max_codes: int,
    choose: Choice = most_likely,
    n_each: int = 1,
    remember: bool = True,
) -> Int[Tensor, "batch codes"]:
    """Codes until every sequence has stopped, at most `max_codes`. For the arguments see `Decoding`."""
    decoding = Decoding(
        model, latent, symbols, max_codes=max_codes, choose=choose, n_each=n_each, remember=remember
    )
    while decoding.goes_on:
        decoding.step()
    return decoding.codes


class _Rereading:
    """Reads everything again for each code."""

    can_drop = True

    def __init__(self, model: UnifiedVoice, latent: Voices, text: Text, n_each: int) -> None:
        self.model = model
        self.voices, self.text = (part.repeat_interleave(n_each, dim=0) for part in (latent, text))

    def keep(self, rows: Rows) -> None:
        """Only these sequences go on."""
        self.voices, self.text = self.voices[rows], self.text[rows]

    def scores(self, codes: Int[Tensor, "batch codes"]) -> Scores:
        """What follows the codes, the start among them."""
        return self.model.mel_head(self.model.states(self.voices, self.text, codes)[:, -1])


class _Remembering:
    """Reads what is new. The place of a code is the number of those before it, the start included.

    So it is in training. tortoise-tts with its cache counts one too many, and speaks a little differently.
    """

    def __init__(self, model: UnifiedVoice, latent: Voices, text: Text, n_each: int) -> None:
        self.model, self.memory = model, Memory(n_each=n_each)
        model.gpt(torch.cat([latent, model.embedded_symbols(text)], dim=1), self.memory)
        self.can_drop = len(text) == 1

    def keep(self, rows: Rows) -> None:
        """Only these sequences go on."""
        self.memory.keep(rows)

    def scores(self, codes: Int[Tensor, "batch codes"]) -> Scores:
        """What follows the codes, the start among them."""
        x = self.model.embedded_codes(codes[:, -1:], first=codes.shape[1] - 1)
        return self.model.mel_head(self.model.final_norm(self.model.gpt(x, self.memory)[:, -1]))

"""From a text and a voice to codes, one after another.

Axes used in this file:
    batch    utterances
    symbols  of the text
    codes    chosen so far
    seen     identifiers that a choice may look back at
    n_codes  rows of the table of codes
    dim      channels
"""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from retimbre.models.tortoise_ar.gpt2 import Memory
from retimbre.models.tortoise_ar.model import UnifiedVoice

Scores = Float[Tensor, "batch n_codes"]
Seen = Int[Tensor, "batch seen"]
Choice = Callable[[Scores, Seen], Int[Tensor, "batch"]]

PLACEHOLDER = 1


def most_likely(scores: Scores, _seen: Seen) -> Int[Tensor, "batch"]:
    """The code with the highest score."""
    return scores.argmax(dim=-1)


def without_repeats(scores: Scores, seen: Seen, penalty: float) -> Scores:
    """Scores, those of codes that were seen lower: a positive one is divided by `penalty`, a negative one
    multiplied (https://arxiv.org/abs/1909.05858)."""
    before = scores.gather(-1, seen)
    return scores.scatter(-1, seen, torch.where(before < 0, before * penalty, before / penalty))


@torch.no_grad()
def decode(
    model: UnifiedVoice,
    latent: Float[Tensor, "batch dim"],
    symbols: Int[Tensor, "batch symbols"],
    *,
    max_codes: int,
    choose: Choice = most_likely,
    remember: bool = True,
) -> Int[Tensor, "batch codes"]:
    """Codes until every utterance has stopped, at most `max_codes`; from an utterance's stop on, only stops.

    Args:
        model: In evaluation mode.
        latent: The voice of each utterance.
        symbols: Of the text, without start and stop.
        choose: Which code comes next, from the scores of all codes and what was there before.
        remember: Read each place once instead of once for each code: the same codes, sooner.
    """
    text = model.framed_symbols(symbols)
    reader = _Remembering(model, latent, text, max_codes) if remember else _Rereading(model, latent, text)
    # Checkpoint quirk: the released penalty on repeats sees the places of the prompt too, as if each held
    # this code. Kept; pinned by test_a_choice_sees_what_the_released_penalty_saw.
    seen = text.new_tensor([[PLACEHOLDER, model.config.start_code]]).repeat(len(text), 1)
    codes = seen[:, 1:]
    has_stopped = torch.zeros(len(text), dtype=torch.bool, device=text.device)
    for _ in range(max_codes):
        chosen = choose(reader.scores(codes), seen).masked_fill(has_stopped, model.config.stop_code)
        codes, seen = (torch.cat([before, chosen.unsqueeze(1)], dim=1) for before in (codes, seen))
        has_stopped = has_stopped | (chosen == model.config.stop_code)
        if has_stopped.all():
            break
    return codes[:, 1:]


class _Rereading:
    """Reads everything again for each code."""

    def __init__(
        self, model: UnifiedVoice, latent: Float[Tensor, "batch dim"], text: Int[Tensor, "batch symbols"]
    ) -> None:
        self.model, self.voices, self.text = model, latent.unsqueeze(1), text

    def scores(self, codes: Int[Tensor, "batch codes"]) -> Scores:
        """What follows the codes, the start among them."""
        return self.model.mel_head(self.model.states(self.voices, self.text, codes)[:, -1])


class _Remembering:
    """Reads what is new. The place of a code is the number of those before it, the start included.

    So it is in training. tortoise-tts with its cache counts one too many, and speaks a little differently.
    """

    def __init__(
        self,
        model: UnifiedVoice,
        latent: Float[Tensor, "batch dim"],
        text: Int[Tensor, "batch symbols"],
        max_codes: int,
    ) -> None:
        self.model = model
        self.prompt = torch.cat([latent.unsqueeze(1), model.embedded_symbols(text)], dim=1)
        n_places = self.prompt.shape[1] + 1 + max_codes
        self.memory = Memory(model.config, n_sequences=len(text), n_places=n_places, like=self.prompt)

    def scores(self, codes: Int[Tensor, "batch codes"]) -> Scores:
        """What follows the codes, the start among them."""
        n_read = max(0, self.memory.n_read - self.prompt.shape[1])
        x = self.model.embedded_codes(codes[:, n_read:], first=n_read)
        if not self.memory.n_read:
            x = torch.cat([self.prompt, x], dim=1)
        return self.model.mel_head(self.model.final_norm(self.model.gpt(x, self.memory)[:, -1]))

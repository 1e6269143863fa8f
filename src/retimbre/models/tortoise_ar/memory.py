"""What the transformer has read: keys and values, so that each place is read once.

A prompt is read first, at once, and its keys and values are kept once however many sequences go on from it.

Axes used in this file:
    prompts   texts, each with a voice
    rows      sequences; each prompt has as many, one after another
    each      of one prompt
    layers    of the transformer
    heads     of one attention
    places    read so far
    head_dim  channels of one head
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

N_PLACES_AT_FIRST = 64  # of each sequence beyond its prompt; doubled whenever they are used up

Prompt = Float[Tensor, "prompts heads places head_dim"]
One = Float[Tensor, "rows heads 1 head_dim"]


class Memory:
    """Keys and values of prompts, and of the sequences that go on from them."""

    def __init__(self, *, n_each: int = 1) -> None:
        self.n_each = n_each
        self.n_read = 0  # places of each sequence, those of its prompt among them
        self.n_prompt = 0
        self._prompts: list[tuple[Prompt, Prompt]] = []  # one pair of keys and values for each layer
        self._keys = self._values = torch.empty(0)

    def keep_prompt(self, keys: Prompt, values: Prompt) -> None:
        """Those of the next layer."""
        self._prompts.append((keys.contiguous(), values.contiguous()))

    def move_on(self, n_places: int) -> None:
        """All layers have read so many places."""
        self.n_read += n_places
        if not self.n_prompt:
            self.n_prompt = n_places
            prompts, heads, _, head_dim = self._prompts[0][0].shape
            shape = (len(self._prompts), prompts * self.n_each, heads, N_PLACES_AT_FIRST, head_dim)
            self._keys, self._values = (self._prompts[0][0].new_empty(shape) for _ in range(2))
        elif self.n_read - self.n_prompt == self._keys.shape[3]:
            self._keys, self._values = (_doubled(kept) for kept in (self._keys, self._values))

    def keep(self, rows: Int[Tensor, "rows"]) -> None:
        """Only these sequences of a single prompt go on."""
        self._keys, self._values = self._keys[:, rows], self._values[:, rows]
        self.n_each = len(rows)

    def seen(self, layer: int, queries: One, keys: One, values: One) -> One:
        """What attention gathers for one new place of each sequence, from all places up to it."""
        new = self.n_read - self.n_prompt
        self._keys[layer, :, :, new] = keys[:, :, 0]
        self._values[layer, :, :, new] = values[:, :, 0]
        own_keys, own_values = self._keys[layer, :, :, : new + 1], self._values[layer, :, :, : new + 1]
        prompt_keys, prompt_values = self._prompts[layer]
        queries = queries * queries.shape[-1] ** -0.5
        of_prompt = self._by_prompt(queries) @ prompt_keys.mT
        shares = torch.cat([self._by_row(of_prompt), queries @ own_keys.mT], dim=-1).softmax(dim=-1)
        from_prompt = self._by_prompt(shares[..., : self.n_prompt]) @ prompt_values
        return self._by_row(from_prompt) + shares[..., self.n_prompt :] @ own_values

    def _by_prompt(self, x: Float[Tensor, "rows heads 1 width"]) -> Float[Tensor, "prompts heads each width"]:
        return x.squeeze(2).view(-1, self.n_each, *x.shape[1:2], x.shape[3]).transpose(1, 2)

    def _by_row(self, x: Float[Tensor, "prompts heads each width"]) -> Float[Tensor, "rows heads 1 width"]:
        return x.transpose(1, 2).flatten(0, 1).unsqueeze(2)


def _doubled(kept: Float[Tensor, "layers rows heads places head_dim"]) -> Tensor:
    return torch.cat([kept, torch.empty_like(kept)], dim=3)

"""The transformer of GPT-2, without its tables of words and positions, with the tensor names of Hugging Face.

Axes used in this file:
    batch     sequences
    places    one vector each: of the voice, a symbol or a code
    dim       channels (dim_in, dim_out)
    scores    one for each symbol or code
    heads     of one attention
    head_dim  channels of one head
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from retimbre.models.tortoise_ar.config import UnifiedVoiceConfig
from retimbre.models.tortoise_ar.memory import Memory
from retimbre.nn.attention import causal_attention
from retimbre.nn.dropout import Dropout
from retimbre.nn.packed import Packed, Precision
from retimbre.nn.reduced import reduced_kind, reduced_product

SPREAD = 0.02  # of new weights, as GPT-2 has it
Hidden = Float[Tensor, "batch places dim"]


def draw(weight: Tensor, spread: float = SPREAD) -> None:
    """Fill a new weight with small random numbers."""
    # On the meta device there is nothing to fill, and torch would load its compiler to do so: over a second.
    if not weight.is_meta:
        nn.init.normal_(weight, std=spread)


class Table(nn.Embedding):
    """A vector for each of some numbers."""

    def reset_parameters(self) -> None:
        """Small random vectors."""
        draw(self.weight)


class Projection(nn.Module):
    """A linear layer whose weight is stored in × out, the other way round than `nn.Linear`."""

    def __init__(self, dim_in: int, dim_out: int, *, spread: float = SPREAD) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(dim_in, dim_out))
        self.bias = nn.Parameter(torch.zeros(dim_out))
        draw(self.weight, spread)
        self.packed: Packed | None = None

    def pack(self, precision: Precision, rows: int) -> None:
        """Give up the weight for one that speaks faster."""
        self.packed = Packed(self.weight.T, self.bias, precision=precision, rows=rows)
        del self.weight, self.bias

    def forward(self, x: Float[Tensor, "batch places dim_in"]) -> Float[Tensor, "batch places dim_out"]:
        if self.packed:
            return self.packed(x)
        if kind := reduced_kind(x):
            return reduced_product(x, self.weight, self.bias, kind)
        return functional.linear(x, self.weight.to(x.dtype).T, self.bias)


class Head(nn.Linear):
    """A score for each symbol or code."""

    packed: Packed | None = None

    def pack(self, precision: Precision, rows: int) -> None:
        """Give up the weight for one that speaks faster."""
        self.packed = Packed(self.weight, self.bias, precision=precision, rows=rows)
        del self.weight, self.bias

    def forward(self, x: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch scores"]:
        return self.packed(x) if self.packed else super().forward(x)


class Attention(nn.Module):
    """Each place sees itself and those before it."""

    def __init__(self, config: UnifiedVoiceConfig, layer: int) -> None:
        super().__init__()
        self.n_heads, self.dropout, self.layer = config.n_heads, config.dropout, layer
        self.c_attn = Projection(config.dim, 3 * config.dim)
        self.c_proj = Projection(config.dim, config.dim, spread=_spread_before_sum(config))
        self.drop = Dropout(config.dropout)

    def forward(self, x: Hidden, memory: Memory | None = None) -> Hidden:
        queries, keys, values = (self._by_head(part) for part in self.c_attn(x).chunk(3, dim=-1))
        if memory is not None and memory.n_prompt:
            seen = memory.seen(self.layer, queries, keys, values)
        else:
            if memory is not None:
                memory.keep_prompt(keys, values)
            seen = causal_attention(queries, keys, values, self.dropout if self.training else 0.0)
        return self.drop(self.c_proj(seen.transpose(1, 2).flatten(2)))

    def _by_head(self, x: Hidden) -> Float[Tensor, "batch heads places head_dim"]:
        return x.view(*x.shape[:2], self.n_heads, -1).transpose(1, 2)


class FeedForward(nn.Module):
    """Two projections with a GELU, in its form with tanh, between them."""

    def __init__(self, config: UnifiedVoiceConfig) -> None:
        super().__init__()
        self.c_fc = Projection(config.dim, 4 * config.dim)
        self.c_proj = Projection(4 * config.dim, config.dim, spread=_spread_before_sum(config))
        self.drop = Dropout(config.dropout)

    def forward(self, x: Hidden) -> Hidden:
        return self.drop(self.c_proj(functional.gelu(self.c_fc(x), approximate="tanh")))


class Layer(nn.Module):
    """Attention and feed-forward, each normalised before and with a way around it."""

    def __init__(self, config: UnifiedVoiceConfig, layer: int) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(config.dim)
        self.attn = Attention(config, layer)
        self.ln_2 = nn.LayerNorm(config.dim)
        self.mlp = FeedForward(config)

    def forward(self, x: Hidden, memory: Memory | None = None) -> Hidden:
        x = x + self.attn(self.ln_1(x), memory)
        return x + self.mlp(self.ln_2(x))


class GPT2(nn.Module):
    """All layers and the norm after them."""

    def __init__(self, config: UnifiedVoiceConfig) -> None:
        super().__init__()
        self.drop = Dropout(config.dropout)
        self.n_recomputed = 0  # layers whose numbers are computed again for their gradients
        self.h = nn.ModuleList(Layer(config, layer) for layer in range(config.n_layers))
        self.ln_f = nn.LayerNorm(config.dim)

    def keep_reduced(self, kind: torch.dtype) -> None:
        """Keep the large weights that do not learn in `kind` alone: half the memory, while others learn.

        Under autocast to the same kind nothing changes. What was rounded away is gone: for an export, read it
        from the checkpoint again.
        """
        for module in self.modules():
            if isinstance(module, Projection) and not module.weight.requires_grad:
                module.weight.data = module.weight.data.to(kind)

    def forward(self, x: Hidden, memory: Memory | None = None) -> Hidden:
        """The same whether all places come at once or, with a memory, a prompt and then one after another."""
        x = self.drop(x)
        n_recomputed = self.n_recomputed if torch.is_grad_enabled() and memory is None else 0
        for number, layer in enumerate(self.h):
            # The same random numbers are drawn again, too: not a bit of the result changes.
            x = checkpoint(layer, x, use_reentrant=False) if number < n_recomputed else layer(x, memory)
        if memory is not None:
            memory.move_on(x.shape[1])
        return self.ln_f(x)


def _spread_before_sum(config: UnifiedVoiceConfig) -> float:
    return SPREAD / math.sqrt(2 * config.n_layers)  # what all layers add keeps its size

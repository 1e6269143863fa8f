"""Sizes of a rotary encoder from names and shapes, for both rankers of TorToiSe."""

# ruff: noqa: ANN401 (what a user states may be anything)

from typing import Any

from retimbre.errors import CheckpointError
from retimbre.models.assumptions import OPTION, Told
from retimbre.models.family import Shapes
from retimbre.models.votes import count, vote
from retimbre.nn.rotary_encoder import ROTATED

HEAD_DIM = 64  # in TorToiSe every head is this wide, whatever the model's width
ATTENTION = {
    "to_q.weight": 0,
    "to_k.weight": 0,
    "to_v.weight": 0,
    "to_out.weight": 1,
}  # the axis of the heads
NUMBERED = ("{}.0.0.g", *(f"{{}}.1.{name}" for name in (*ATTENTION, "to_out.bias")), *(
    f"{{}}.1.net.{name}" for name in ("0.proj.weight", "0.proj.bias", "3.weight", "3.bias")
))  # fmt: skip


def n_layers_of(shapes: Shapes, encoder: str, *, level: str = "") -> int:
    """How many pairs of attention and feed-forward there are; `level` is `wrap.` where layers are wrapped."""
    layers = f"{encoder}.attn_layers.layers."
    templates = [layers + name.replace(".1.", f".1.{level}") for name in NUMBERED]
    # Attention has the even numbers: the last of 2 n layers is a feed-forward, the last attention one before.
    n_layers = (count(shapes, templates) + 1) // 2
    if not n_layers:
        raise CheckpointError(
            f"the layers of '{encoder}' are missing",
            expected=f"tensors such as '{templates[0].format(0)}'",
            found=f"{sum(name.startswith(encoder) for name in shapes)} tensors below '{encoder}'",
            do="ask for the whole file",
        )
    return n_layers


def dim_claims(encoder: str, n_layers: int) -> dict[str, int]:
    """Which tensors have the encoder's width as an axis, and which one."""
    norms = {f"{encoder}.norm.{name}": 0 for name in ("weight", "bias")}
    return norms | {f"{encoder}.attn_layers.layers.{number}.0.0.g": 0 for number in range(2 * n_layers)}


def attention_claims(encoder: str, n_layers: int, *, level: str = "") -> dict[str, int]:
    """Which tensors have the width of all heads together as an axis, and which one."""
    return {
        f"{encoder}.attn_layers.layers.{2 * pair}.1.{level}{name}": axis
        for pair in range(n_layers)
        for name, axis in ATTENTION.items()
    }


def attention_dim_of(shapes: Shapes, what: str, claims: dict[str, int]) -> int:
    """Channels of all heads together."""
    width = vote(shapes, what, claims)
    if width < ROTATED:
        raise CheckpointError(
            f"{what} is too small for rotary positions", expected=f"at least {ROTATED}", found=str(width)
        )
    return width


def heads_of(told: Told, name: str, *, field: str, attention_dim: int, dim: int = 0) -> int:
    """The number of heads: as told, or by the rule; it must divide both widths (0: any)."""
    possible = [n for n in range(1, attention_dim // ROTATED + 1) if attention_dim % n == 0 and dim % n == 0]
    usual = min(possible, key=lambda n: abs(attention_dim / n - HEAD_DIM))
    rule = f"rows of to_q / {HEAD_DIM}, as in every file that TorToiSe writes"
    if usual * HEAD_DIM != attention_dim:
        rule = (
            f"{attention_dim} rows of to_q are not {HEAD_DIM} for each of them, as usual: the nearest divisor"
        )
    value = told.value(name, field=field, usual=usual, because=rule)
    _require_one_of(possible, name, value)
    return int(value)


def _require_one_of(possible: list[int], name: str, value: Any) -> None:
    if type(value) is not int or value not in possible:
        raise CheckpointError(
            f"{name} cannot be what it is said to be",
            expected=f"one of {', '.join(map(str, possible))}",
            found=repr(value)[:40],
            do=f"say {OPTION} {name}={possible[-1]}, or leave it out",
        )

"""Every size of TorToiSe's autoregressive network."""

from dataclasses import dataclass
from typing import Literal, get_args

Residual = Literal["x + h", "norm(x) + h"]
RESIDUALS: tuple[Residual, ...] = get_args(Residual)

N_MELS = 80  # in every network of this kind
WIDEST_DIM = 1 << 16
N_ENDS = 2  # positions for the start and for the stop
END = 0  # the symbol that tortoise-tts puts behind every text, besides the stop


@dataclass(frozen=True, kw_only=True)
class UnifiedVoiceConfig:
    """What a network from text and a voice to codes is. The defaults are the released ones.

    Args:
        n_layers: Layers of the transformer.
        dim: Its width.
        n_heads: Attention heads of each layer, and of each block that reads the voice.
        n_conditioning_layers: Attention blocks that read the voice.
        n_symbols: Rows of the table of text symbols.
        n_codes: Rows of the table of codes, start and stop included.
        n_symbol_positions: The longest text, start and stop included.
        n_code_positions: The longest sequence of codes, start, stop and some reserve included.
        start_symbol: Comes before every text.
        stop_symbol: Comes after every text.
        start_code: Comes before every sequence of codes.
        stop_code: Comes after every sequence of codes.
        samples_per_code: How much sound, at the rate of the codes, one code stands for.
        n_text_types: Kinds of text that have symbols of their own; 1 in all released networks.
        n_reserved_positions: The places for recordings that `n_code_positions` counts although none is used.
        residual: What is added in a block that reads the voice: its input, or its normalised input.
        has_solo_embeddings: Whether there are two vectors that only pre-training without a voice used.
        dropout: Share of values that training drops in the transformer.
    """

    n_layers: int = 30
    dim: int = 1024
    n_heads: int = 16
    n_conditioning_layers: int = 6
    n_symbols: int = 256
    n_codes: int = 8194
    n_symbol_positions: int = 404
    n_code_positions: int = 608
    start_symbol: int = 255
    stop_symbol: int = 0
    start_code: int = 8192
    stop_code: int = 8193
    samples_per_code: int = 1024
    n_text_types: int = 1
    n_reserved_positions: int = 2
    residual: Residual = "x + h"
    has_solo_embeddings: bool = False
    dropout: float = 0.1

    def __post_init__(self) -> None:
        self._require_sizes()
        self._require_ends()
        if self.residual not in RESIDUALS:
            raise ValueError(f"residual is one of {', '.join(RESIDUALS)}, not {self.residual}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is a share from 0 to below 1, not {self.dropout}")
        if self.n_text_types < 1 or (self.n_symbols - 1) % self.n_text_types:
            raise ValueError(
                f"{self.n_symbols} rows: one for the start and equal shares of {self.n_text_types} types?"
            )

    def _require_sizes(self) -> None:
        counts = (self.n_layers, self.dim, self.n_heads, self.n_conditioning_layers, self.samples_per_code)
        if min(counts) < 1 or self.dim > WIDEST_DIM:
            raise ValueError(f"sizes must be at least 1, and dim at most {WIDEST_DIM}: {counts}")
        if self.dim % self.n_heads:
            raise ValueError(f"dim ({self.dim}) does not divide into {self.n_heads} heads")
        if self.dim % 4:
            raise ValueError(f"dim ({self.dim}) must be a multiple of 4: the norms need at least four groups")
        if self.n_reserved_positions < 0 or self.max_codes < 1 or self.max_symbols < 1:
            raise ValueError(
                f"no room between start and stop: {self.n_code_positions} positions of codes, "
                f"{self.n_reserved_positions} of them reserved, and {self.n_symbol_positions} of symbols"
            )

    def _require_ends(self) -> None:
        for what, n_rows, ends in (
            ("symbol", self.n_symbols, (self.start_symbol, self.stop_symbol)),
            ("code", self.n_codes, (self.start_code, self.stop_code)),
        ):
            if len(set(ends)) < len(ends) or min(ends) < 0 or max(ends) >= n_rows:
                raise ValueError(
                    f"start and stop {what} must be two different rows of {n_rows}: {ends[0]}, {ends[1]}"
                )

    @property
    def max_symbols(self) -> int:
        """The longest text, without start and stop."""
        return self.n_symbol_positions - N_ENDS

    @property
    def max_codes(self) -> int:
        """The longest sequence of codes that the network was meant for, without start and stop."""
        return self.n_code_positions - N_ENDS - self.n_reserved_positions

    @property
    def n_per_type(self) -> int:
        """Symbols of one kind of text; the start symbol belongs to none."""
        return (self.n_symbols - 1) // self.n_text_types

    @property
    def n_norm_groups(self) -> int:
        """Groups of channels that are normalised together where the voice is read."""
        groups = 8 if self.dim <= 16 else 16 if self.dim <= 64 else 32
        while self.dim % groups:
            groups //= 2
        return groups

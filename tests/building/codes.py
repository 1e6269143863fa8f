"""Generated utterances for TorToiSe's text-to-codes, and a voice for each speaker."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from retimbre.models.tortoise_ar.config import UnifiedVoiceConfig
from retimbre.models.tortoise_ar.model import UnifiedVoice

SMALL = UnifiedVoiceConfig(
    n_layers=2,
    dim=32,
    n_heads=4,
    n_conditioning_layers=1,
    n_symbols=12,
    n_codes=22,
    n_symbol_positions=16,
    n_code_positions=32,
    start_symbol=11,
    start_code=20,
    stop_code=21,
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Encoded:
    """An utterance that was never recorded: its codes are random."""

    symbols: Tensor
    codes: Tensor
    n_samples: int


class Voices:
    """One voice, of which each recording is a little different."""

    def __init__(self, n_clips: int = 2, n_frames: int = 7) -> None:
        self.n_clips, self.n_frames = n_clips, n_frames
        self.spec = torch.randn(80, 1, generator=torch.Generator().manual_seed(3))

    def for_auto(self, encoded: Encoded, random: np.random.Generator) -> Tensor:
        """Its recordings, as the generator draws them."""
        noise = random.standard_normal((self.n_clips, 80, self.n_frames), dtype=np.float32)
        return self.spec + 0.1 * torch.from_numpy(noise)


def utterances(lengths: list[tuple[int, int]], *, seed: int = 1, n_silent: int = 0) -> list[Encoded]:
    """Of so many symbols and codes each; `n_silent` further codes stand for silence after each."""
    draw = torch.Generator().manual_seed(seed)
    found = []
    for n_symbols, n_codes in lengths:
        symbols = torch.randint(1, 11, (n_symbols,), generator=draw)
        codes = torch.randint(0, 20, (n_codes,), generator=draw)
        silence = torch.full((n_silent,), 7)
        found.append(
            Encoded(symbols=symbols, codes=torch.cat([codes, silence]), n_samples=1024 * n_codes - 100)
        )
    return found


def new_network(config: UnifiedVoiceConfig = SMALL, *, seed: int = 1) -> UnifiedVoice:
    """With weights that all matter: those that begin as zero are random, too."""
    torch.manual_seed(seed)
    model = UnifiedVoice(config)
    with torch.no_grad():
        for block in model.conditioning_encoder.attn:
            block.proj_out.weight.normal_(std=0.1)
    return model.train()

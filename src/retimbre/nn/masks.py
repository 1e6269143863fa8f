"""Padding masks: True is a real frame or symbol, everywhere.

Axes used in this file:
    batch  utterances
    n      frames or symbols of the longest utterance, padded
"""

import torch
from jaxtyping import Bool, Int
from torch import Tensor


def mask_from_lengths(lengths: Int[Tensor, "batch"], n: int) -> Bool[Tensor, "batch n"]:
    """True for the first `lengths[i]` of `n` places of utterance i."""
    return torch.arange(n, device=lengths.device) < lengths.unsqueeze(-1)

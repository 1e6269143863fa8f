"""Loudness per frame, as the text-to-spec models know it."""

import torch
from jaxtyping import Float
from torch import Tensor


def energy(log_spec: Float[Tensor, "mels frames"]) -> Float[Tensor, "frames"]:
    """The L2 norm over the bands of each frame.

    Quirk: EveryVoice takes the norm of the logarithms, not of the magnitudes. Silence (-11.5 in each of 80
    bands) has about 103, and louder frames have less. Its models have learnt it so.
    """
    norms: Tensor = torch.linalg.vector_norm(log_spec, dim=0)
    return norms

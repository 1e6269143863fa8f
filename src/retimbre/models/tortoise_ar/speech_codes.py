"""What becomes of spoken codes before they are ranked and heard: an end as the next stages know it.

The rules and the codes that they name are tortoise-tts' own. They hold for the released code book alone:
there, 83 is silence, and recordings that fade into silence end in 45, 45, 248.

Axes used in this file:
    batch      candidates
    spoken     codes, up to the last stop in the batch
    max_codes  the most codes that could have been spoken
    n          codes of one candidate
"""

import torch
from jaxtyping import Bool, Int
from torch import Tensor
from torch.nn import functional

SILENCE = 83
TAIL = (45, 45, 248)
N_SILENT_KEPT = 8  # room in which the sound dies away

Spoken = Int[Tensor, "batch spoken"]


def has_stopped(codes: Spoken, stop: int) -> Bool[Tensor, "batch"]:
    """Did each candidate come to an end? One that did not may lack words."""
    return (codes == stop).any(dim=1)


def settled(codes: Spoken, stop: int, max_codes: int) -> Int[Tensor, "batch max_codes"]:
    """Silence from each candidate's first stop on, and the tail in the last three places.

    Whatever stands in those places gives way, even speech. A candidate that never stops stays as it is.

    Args:
        stop: The code after the last that is spoken.
        max_codes: Candidates that all stopped earlier are made as long as this.
    """
    codes = functional.pad(codes, (0, max_codes - codes.shape[1]), value=stop)
    from_stop = (codes == stop).cumsum(dim=1) > 0
    tail = codes.new_tensor(TAIL).expand(len(codes), -1)
    ended = torch.cat([codes.masked_fill(from_stop, SILENCE)[:, : -len(TAIL)], tail], dim=1)
    return torch.where(has_stopped(codes, stop).unsqueeze(1), ended, codes)


def n_until_silence(codes: Int[Tensor, "n"]) -> int:
    """How many codes of a settled candidate are heard: up to the first long silence, and its beginning."""
    n_silent = 0
    for place, code in enumerate(codes.tolist()):
        n_silent = n_silent + 1 if code == SILENCE else 0
        if n_silent > N_SILENT_KEPT:
            return place
    return len(codes)

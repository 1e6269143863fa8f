"""The code book: which entry is nearest to a vector, and which entries nothing is near to.

Axes used in this file:
    vectors  of any number of utterances
    dim      channels of an entry
    entries  of the code book, one for each code
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

ROWS = 1024  # vectors compared at once: 32 MB of distances for 8,192 entries
DEAD_BELOW = 0.01  # picks per batch: less than one in the hundred batches that an average of decay 0.99 spans


class Codebook(nn.Module):
    """Entries as columns, with the running averages that training moves them by."""

    embed: Tensor
    cluster_size: Tensor
    embed_avg: Tensor

    def __init__(self, dim: int, n_codes: int) -> None:
        super().__init__()
        self.register_buffer("embed", torch.randn(dim, n_codes))
        self.register_buffer("cluster_size", torch.zeros(n_codes))
        self.register_buffer("embed_avg", self.embed.clone())

    @torch.no_grad()
    def nearest(self, vectors: Float[Tensor, "*batch dim"]) -> Int[Tensor, "*batch"]:
        """The entry with the smallest squared distance; of equally near ones the first. Always in float32."""
        with torch.autocast(vectors.device.type, enabled=False):
            embed = self.embed.float()
            squares = embed.square().sum(0)
            rows = torch.split(vectors.reshape(-1, vectors.shape[-1]).float(), ROWS)
            # The square of the vector itself is the same for all entries.
            found = [torch.addmm(squares, some, embed, alpha=-2).argmin(1) for some in rows]
        return torch.cat(found).reshape(vectors.shape[:-1])

    def forward(self, codes: Int[Tensor, "*batch"]) -> Float[Tensor, "*batch dim"]:
        """The entries of `codes`."""
        return functional.embedding(codes, self.embed.T)


def dead_entries(cluster_size: Float[Tensor, "entries"]) -> int:
    """How many entries are practically unused, by `codebook.cluster_size`.

    That buffer is a running average of how often an entry was picked in a batch, with a decay of 0.99: it
    looks back over about a hundred batches. The rule: an entry is dead below 0.01, less than one pick in a
    hundred batches; what is not a number counts as well. In a network without training, every entry is dead.
    """
    return int((~(cluster_size.double() >= DEAD_BELOW)).sum())

"""The code book: which entry is nearest to a vector, how entries move, and which nothing is near to.

Entries are moved by running averages, not by gradients (https://arxiv.org/abs/1711.00937, appendix A.1).

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
DECAY = 0.99  # of the running averages
EPSILON = 1e-5  # picks that each entry is granted, so that nothing is divided by zero (Laplace smoothing)
REVIVED_BELOW = 0.1  # of the picks that each entry had if all were picked equally often

REVIVED_AT = 0.2  # of the same: what it has to begin with, enough for 70 batches without a pick


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

    @torch.no_grad()
    def learn(
        self, vectors: Float[Tensor, "vectors dim"], codes: Int[Tensor, "vectors"], *, revives: bool = True
    ) -> None:
        """Move each entry to the running average of the vectors that picked it.

        Args:
            vectors: All real ones of a batch; none of padding.
            codes: What each has picked.
            revives: Entries that are hardly picked any more become vectors of this batch, drawn by lot from
                torch's global generator, as in Jukebox (https://arxiv.org/abs/2005.00341, random restarts)
                and SoundStream (https://arxiv.org/abs/2107.03312, section III-C). So does every entry of a
                book that was never used, as long as there are vectors enough: entries drawn far from all
                vectors would never be picked.
        """
        is_new = not self.cluster_size.any()
        vectors, n_codes = vectors.float(), len(self.cluster_size)
        picks = torch.bincount(codes, minlength=n_codes).to(vectors)
        sums = torch.zeros_like(self.embed.T).index_add_(0, codes, vectors).T
        self.cluster_size.lerp_(picks, 1 - DECAY)
        self.embed_avg.lerp_(sums, 1 - DECAY)
        total = self.cluster_size.sum()
        smoothed = (self.cluster_size + EPSILON) * (total / (total + n_codes * EPSILON))
        self.embed.copy_(self.embed_avg / smoothed)
        if revives:
            self._revive(vectors, is_new=is_new)

    def _revive(self, vectors: Float[Tensor, "vectors dim"], *, is_new: bool) -> None:
        """Let dead entries begin anew as vectors of the batch."""
        if is_new:  # what was picked among entries that nobody has learnt means nothing
            self.cluster_size.zero_()
        even_share = len(vectors) / len(self.cluster_size)
        n_picks = REVIVED_AT * even_share
        is_dead = self.cluster_size < REVIVED_BELOW * even_share
        # No vector is taken twice: what is left over waits for the next batch.
        dead = is_dead.nonzero().squeeze(1)[: len(vectors)]
        if not len(dead):
            return
        drawn = vectors[torch.randperm(len(vectors))[: len(dead)].to(vectors.device)].T
        self.embed[:, dead] = drawn
        self.embed_avg[:, dead] = drawn * n_picks
        self.cluster_size[dead] = n_picks


def perplexity(picks: Float[Tensor, "entries"]) -> float:
    """How many entries, picked equally often, would be as hard to guess as these; 0 if none was picked."""
    shares = picks.double() / picks.double().sum()
    return float(torch.special.entr(shares).sum().exp()) if picks.any() else 0.0


def dead_entries(cluster_size: Float[Tensor, "entries"]) -> int:
    """How many entries are practically unused, by `codebook.cluster_size`.

    That buffer is a running average of how often an entry was picked in a batch, with a decay of 0.99: it
    looks back over about a hundred batches. The rule: an entry is dead below 0.01, less than one pick in a
    hundred batches; what is not a number counts as well. In a network without training, every entry is dead.
    """
    return int((~(cluster_size.double() >= DEAD_BELOW)).sum())

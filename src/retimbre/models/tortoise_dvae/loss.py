"""What an autoencoder with a code book minimises.

Axes used in this file:
    batch    utterances or segments
    mels     bands of the spectrogram
    frames   of the longest spectrogram
    codes    of the longest one
    dim      channels of an entry
    vectors  real ones of all utterances
"""

from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor

from retimbre.models.tortoise_dvae.batch import DvaeBatch, compared_frames
from retimbre.models.tortoise_dvae.model import DiscreteVAE
from retimbre.nn.masks import mask_from_lengths

Scalar = Float[Tensor, ""]


@dataclass(frozen=True, kw_only=True, eq=False)
class Learnt:
    """What one part of a batch gives.

    Args:
        reconstruction: Squared error of the spec, the part's share of the mean over the whole batch.
        commitment: Squared distance of the vectors from their entries, likewise.
        vectors: What the encoder gave where there is no padding; the code book moves towards them.
        codes: What each of them picked.
        spec: Whatever came through the code book.
    """

    reconstruction: Scalar
    commitment: Scalar
    vectors: Float[Tensor, "vectors dim"]
    codes: Int[Tensor, "vectors"]
    spec: Float[Tensor, "batch mels frames"]


def there_and_back(model: DiscreteVAE, batch: DvaeBatch) -> Learnt:
    """Both losses of a network that learns as a whole.

    What the decoder reads are the entries; their gradient goes on to the encoder as if it had read the
    encoder's vectors. Padding counts in neither loss.
    """
    n_codes = model.config.codes_in(batch.n_frames)
    vectors = model.vectors(batch.spec, batch.n_frames).float()
    codes = model.codes_of(vectors.detach(), batch.n_frames)
    entries = model.codebook(codes).transpose(1, 2)
    spec = model.decode_entries(vectors + (entries - vectors).detach(), n_codes)
    is_real = mask_from_lengths(n_codes, codes.shape[-1])
    real, picked = vectors.transpose(1, 2)[is_real], codes[is_real]
    distance = (model.codebook(picked) - real).square().sum()
    return Learnt(
        reconstruction=reconstruction_loss(model, batch, spec),
        commitment=distance / (batch.n_codes_in_all * vectors.shape[1]),
        vectors=real.detach(),
        codes=picked,
        spec=spec,
    )


def decoder_loss(model: DiscreteVAE, batch: DvaeBatch) -> Scalar:
    """The squared error of what the decoder makes of the batch's codes."""
    if batch.codes is None:
        raise ValueError("the decoder learns from codes, and this batch has none")
    n_codes = model.config.codes_in(batch.n_frames)
    return reconstruction_loss(model, batch, model.decode(batch.codes, n_codes))


def reconstruction_loss(
    model: DiscreteVAE, batch: DvaeBatch, spec: Float[Tensor, "batch mels decoded_frames"]
) -> Scalar:
    """The share of this part in the mean squared error over all bands of all real frames of a batch."""
    n_both = min(spec.shape[-1], batch.spec.shape[-1])
    is_real = mask_from_lengths(compared_frames(model.config, batch.n_frames), n_both).unsqueeze(1)
    error = (spec[..., :n_both].float() - batch.spec[..., :n_both]).masked_fill(~is_real, 0.0)
    return error.square().sum() / (batch.n_compared_in_all * batch.spec.shape[1])

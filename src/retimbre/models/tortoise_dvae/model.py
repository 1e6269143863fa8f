"""The dVAE of TorToiSe: spec -> codes -> spec, with the tensor names of its author.

It is built like DALL-E's autoencoder of images (https://arxiv.org/abs/2102.12092), over time, with the code
book of VQ-VAE (https://arxiv.org/abs/1711.00937).

Axes used in this file:
    batch   utterances
    mels    bands of the spectrogram
    frames  of the spectrogram
    codes   integers, each for several frames
    dim     channels
    time    columns on the way from frames to codes and back
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise

from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from retimbre.models.tortoise_dvae.codebook import Codebook
from retimbre.models.tortoise_dvae.config import Activation, DvaeConfig
from retimbre.nn.masks import mask_from_lengths

Hidden = Float[Tensor, "batch dim time"]
IsReal = Bool[Tensor, "batch 1 time"] | None
Spec = Float[Tensor, "batch mels frames"]
Codes = Int[Tensor, "batch codes"]
Lengths = Int[Tensor, "batch"] | None

MODULE_OF: Mapping[Activation, type[nn.Module]] = {"relu": nn.ReLU, "silu": nn.SiLU}


def only_real(x: Hidden, is_real: IsReal) -> Hidden:
    """`x` with padding set to zero: a bias makes it non-zero, and the next kernel would read it."""
    return x if is_real is None else x.masked_fill(~is_real, 0.0)


class Shorter(nn.Sequential):
    """A convolution with a stride, then the activation."""

    def __init__(self, config: DvaeConfig, dim_in: int, dim_out: int) -> None:
        conv = nn.Conv1d(dim_in, dim_out, config.kernel, config.stride, config.padding)
        super().__init__(conv, MODULE_OF[config.activation]())
        self.length_after: Callable[[Tensor], Tensor] = config.shortened


class RepeatThenConv(nn.Module):
    """Each column several times, then a convolution."""

    def __init__(self, config: DvaeConfig, dim_in: int, dim_out: int) -> None:
        super().__init__()
        self.stride = config.stride
        self.conv = nn.Conv1d(dim_in, dim_out, config.kernel, padding=config.padding)

    def forward(self, x: Hidden) -> Float[Tensor, "batch dim_out longer"]:
        return self.conv(x.repeat_interleave(self.stride, dim=-1))


class Longer(nn.Sequential):
    """The way back of `Shorter`."""

    def __init__(self, config: DvaeConfig, dim_in: int, dim_out: int) -> None:
        if config.is_transposed:
            conv: nn.Module = nn.ConvTranspose1d(
                dim_in, dim_out, config.kernel, config.stride, config.padding
            )
        else:
            conv = RepeatThenConv(config, dim_in, dim_out)
        super().__init__(conv, MODULE_OF[config.activation]())
        self.length_after: Callable[[Tensor], Tensor] = config.lengthened


class ResBlock(nn.Module):
    """Three convolutions with a way around them."""

    def __init__(self, config: DvaeConfig, dim: int) -> None:
        super().__init__()
        activation = MODULE_OF[config.activation]
        self.net = nn.Sequential(
            nn.Conv1d(dim, dim, 3, padding=1),
            activation(),
            nn.Conv1d(dim, dim, 3, padding=1),
            activation(),
            nn.Conv1d(dim, dim, 1),
        )

    def forward(self, x: Hidden, is_real: IsReal = None) -> Hidden:
        inner = x
        for layer in self.net:
            inner = only_real(layer(inner), is_real)
        return x + inner


@dataclass(frozen=True, kw_only=True)
class Reconstruction:
    """A spec after its way through the code book.

    Args:
        spec: What the codes become, up to a whole number of codes: a few frames may be added.
        vectors: What the encoder gave.
        codes: The entry nearest to each vector.
        entries: These entries.
    """

    spec: Float[Tensor, "batch mels frames"]
    vectors: Float[Tensor, "batch dim codes"]
    codes: Int[Tensor, "batch codes"]
    entries: Float[Tensor, "batch dim codes"]


class DiscreteVAE(nn.Module):
    """The autoencoder. A spec is TorToiSe's, already divided by its norms (`tortoise_mel80`)."""

    def __init__(self, config: DvaeConfig) -> None:
        super().__init__()
        self.config = config
        dims = config.dims
        self.encoder = nn.Sequential(
            *(Shorter(config, n_in, n_out) for n_in, n_out in pairwise((config.n_mels, *dims))),
            *(ResBlock(config, dims[-1]) for _ in range(config.n_resblocks)),
            nn.Conv1d(dims[-1], config.codebook_dim, 1),
        )
        self.decoder = nn.Sequential(
            nn.Conv1d(config.codebook_dim, dims[-1], 1),
            *(ResBlock(config, dims[-1]) for _ in range(config.n_resblocks)),
            *(Longer(config, n_in, n_out) for n_in, n_out in pairwise((dims[-1], *reversed(dims)))),
            nn.Conv1d(dims[0], config.n_mels, 1),
        )
        self.codebook = Codebook(config.codebook_dim, config.n_codes)

    def vectors(self, spec: Spec, n_frames: Lengths = None) -> Float[Tensor, "batch dim codes"]:
        """What the encoder gives, before the nearest entries are taken; zero where there is padding."""
        return _through(self.encoder, spec, n_frames)

    def encode(self, spec: Spec, n_frames: Lengths = None) -> Codes:
        """The codes of each utterance, `config.codes_in(n_frames)` of them; 0 where there is padding."""
        return self.codes_of(self.vectors(spec, n_frames), n_frames)

    def decode(self, codes: Codes, n_codes: Lengths = None) -> Spec:
        """The spec of each utterance, `config.frames_in(n_codes)` frames; 0 where there is padding."""
        return self.decode_entries(self.codebook(codes).transpose(1, 2), n_codes)

    def decode_entries(
        self, entries: Float[Tensor, "batch dim codes"], n_codes: Lengths = None
    ) -> Float[Tensor, "batch mels frames"]:
        """As `decode`, of entries that were looked up already."""
        return _through(self.decoder, entries, n_codes)

    def forward(self, spec: Spec, n_frames: Lengths = None) -> Reconstruction:
        """There and back through the nearest entries; no gradient reaches the encoder."""
        vectors = self.vectors(spec, n_frames)
        codes = self.codes_of(vectors, n_frames)
        n_codes = None if n_frames is None else self.config.codes_in(n_frames)
        entries = self.codebook(codes).transpose(1, 2)
        decoded = self.decode_entries(entries, n_codes)
        return Reconstruction(spec=decoded, vectors=vectors, codes=codes, entries=entries)

    def codes_of(self, vectors: Float[Tensor, "batch dim codes"], n_frames: Lengths = None) -> Codes:
        """The nearest entry to each vector that the encoder gave; 0 where there is padding."""
        codes = self.codebook.nearest(vectors.transpose(1, 2))
        if n_frames is None:
            return codes
        return codes * mask_from_lengths(self.config.codes_in(n_frames), codes.shape[-1])


def _through(
    layers: Iterable[nn.Module], x: Hidden, lengths: Lengths
) -> Float[Tensor, "batch dim_out after"]:
    """`x` after all layers of a part, as each utterance alone would come out."""
    is_real = _real(lengths, x)
    x = only_real(x, is_real)
    for layer in layers:
        if isinstance(layer, ResBlock):
            x = layer(x, is_real)
            continue
        x = layer(x)
        if isinstance(layer, Shorter | Longer) and lengths is not None:
            lengths = layer.length_after(lengths)
            is_real = _real(lengths, x)
        x = only_real(x, is_real)
    return x


def _real(lengths: Lengths, x: Hidden) -> IsReal:
    return None if lengths is None else mask_from_lengths(lengths, x.shape[-1]).unsqueeze(1)

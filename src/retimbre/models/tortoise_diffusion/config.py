"""Every size of TorToiSe's diffusion decoder."""

from dataclasses import dataclass, fields, replace

from retimbre.audio.mel import MelSpec, tortoise_univnet_mel100

FEWEST_GROUPS = 4


@dataclass(frozen=True, kw_only=True)
class DiffusionConfig:
    """What a diffusion decoder is. The defaults are the released one's.

    Args:
        n_mels: Bands of the spectrogram that it makes.
        dim: Channels inside; twice as many where a voice is described.
        n_layers: Layers with attention; three without follow them.
        n_heads: Of every attention.
        latent_dim: Width of the autoregressive model's latents that it reads.
        n_codes: Rows of its table of codes, which it can read instead.
    """

    n_mels: int = 100
    dim: int = 1024
    n_layers: int = 10
    n_heads: int = 16
    latent_dim: int = 1024
    n_codes: int = 8193

    def __post_init__(self) -> None:
        for field in fields(self):
            if (size := getattr(self, field.name)) < 1:
                raise ValueError(f"{field.name} must be at least 1, not {size}")
        if self.dim % self.n_heads:
            raise ValueError(f"dim ({self.dim}) is no whole multiple of n_heads ({self.n_heads})")
        if norm_groups(self.dim) < FEWEST_GROUPS:
            raise ValueError(
                f"dim ({self.dim}) is no whole multiple of {FEWEST_GROUPS}, the fewest groups of a norm"
            )

    @property
    def voice_dim(self) -> int:
        """Width of the latent that describes a voice: a scale and a shift for each channel."""
        return 2 * self.dim

    @property
    def n_outputs(self) -> int:
        """Channels that come out: for each band the noise, and then how wide the next step's should be."""
        return 2 * self.n_mels


def norm_groups(dim: int) -> int:
    """Into how many groups TorToiSe's networks divide `dim` channels where they normalise them.

    32, or 16 for up to 64 channels, or 8 for up to 16; halved until the channels can be divided.
    """
    groups = 8 if dim <= 16 else 16 if dim <= 64 else 32
    while dim % groups:
        groups //= 2
    return groups


def spec_of(config: DiffusionConfig) -> MelSpec:
    """The spectrogram that the next stage reads: what the decoder makes, taken back from -1..1."""
    return replace(tortoise_univnet_mel100(), n_mels=config.n_mels)

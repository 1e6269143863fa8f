"""Every size of a FastSpeech 2 network, as EveryVoice builds it."""

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """What one pitch or energy belongs to: a symbol (EveryVoice says phone), or a frame."""

    PHONE = "phone"
    FRAME = "frame"


def _require_odd(kernel: int) -> None:
    if kernel % 2 == 0:
        raise ValueError(f"kernel ({kernel}) must be odd, or as many frames would not come out as went in")


@dataclass(frozen=True, kw_only=True)
class ConformerSizes:
    """Sizes of the encoder or the decoder."""

    n_layers: int = 4
    n_heads: int = 2
    dim: int = 256
    feedforward_dim: int = 1024
    kernel: int = 9
    dropout: float = 0.2

    def __post_init__(self) -> None:
        if self.dim % 2 or self.dim % self.n_heads:
            raise ValueError(f"dim ({self.dim}) must be even and divisible by n_heads ({self.n_heads})")
        _require_odd(self.kernel)


@dataclass(frozen=True, kw_only=True)
class PredictorSizes:
    """Sizes of the predictor of durations, of pitch or of energy."""

    n_layers: int = 5
    dim: int = 256
    kernel: int = 3
    is_depthwise: bool = True
    dropout: float = 0.5

    def __post_init__(self) -> None:
        _require_odd(self.kernel)


@dataclass(frozen=True, kw_only=True)
class StyleSizes:
    """Sizes of the global style tokens.

    Args:
        channels: Of each convolution over the reference.
        summary_dim: Numbers that sum a reference up.
    """

    n_tokens: int = 10
    n_heads: int = 4
    channels: tuple[int, ...] = (32, 32, 64, 64, 128, 128)
    summary_dim: int = 128


@dataclass(frozen=True, kw_only=True)
class FastSpeech2Config:
    """What the network is.

    Args:
        n_symbols: Rows of the symbol table; row 0 is padding.
        n_features: Phonological features of a symbol, or None for a network with a row for each symbol.
        pitch_level: Is there one pitch for each symbol or for each frame?
        pitch_range: Lowest and highest normalised pitch, the outer edges between the bins of a new network.
        learns_alignment: Does the network find out itself which frames belong to which symbol?
        attention_dim: Width in which symbols and frames are compared for that.
        postnet_dim: Channels of the post-net, or None for a network without one.
        n_speakers: Rows of the speaker table, or None for a network that does not tell speakers apart.
        style: Global style tokens, or None for a network without them.
        silence: Value of a silent cell of a spec: the padding of what the network gives.
    """

    n_symbols: int
    n_features: int | None = None
    n_mels: int = 80
    encoder: ConformerSizes = ConformerSizes()
    decoder: ConformerSizes = ConformerSizes()
    duration: PredictorSizes = PredictorSizes()
    pitch: PredictorSizes = PredictorSizes()
    energy: PredictorSizes = PredictorSizes()
    pitch_level: Level = Level.PHONE
    energy_level: Level = Level.PHONE
    n_pitch_bins: int = 256
    n_energy_bins: int = 256
    pitch_range: tuple[float, float] = (-3.0, 3.0)
    energy_range: tuple[float, float] = (-3.0, 3.0)
    learns_alignment: bool = True
    attention_dim: int = 80
    postnet_dim: int | None = 512
    n_speakers: int | None = None
    n_languages: int | None = None
    style: StyleSizes | None = None
    silence: float = -11.512925  # logarithm of 1e-5

    def __post_init__(self) -> None:
        if self.encoder.dim != self.decoder.dim:
            raise ValueError(f"encoder dim ({self.encoder.dim}) and decoder dim ({self.decoder.dim}) differ")
        if self.style and self.dim % self.style.n_heads:
            raise ValueError(f"dim ({self.dim}) must be divisible by style n_heads ({self.style.n_heads})")

    @property
    def dim(self) -> int:
        """Channels between all parts of the network."""
        return self.encoder.dim


RELEASED = FastSpeech2Config(
    n_symbols=50
)  # EveryVoice's usual sizes, for its page; symbols are each user's own

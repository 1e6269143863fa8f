"""Every size of a CVVP."""

from dataclasses import dataclass

from retimbre.nn.rotary_encoder import RotarySizes

N_MELS = 80  # of TorToiSe's first spectrogram


@dataclass(frozen=True, kw_only=True)
class CvvpConfig:
    """What a CVVP is. The defaults are those of the released `cvvp.pth`.

    Args:
        dim: Channels of both encoders, and of the space in which they are compared.
        n_heads: Of every attention.
        attention_dim: Channels of the heads of an encoder's attention together.
        n_conditioning_layers: Pairs of attention and feed-forward in the encoder of the recording.
        n_speech_layers: The same in the encoder of the codes.
        n_codes: Rows of the table of codes.
    """

    dim: int = 512
    n_heads: int = 8
    attention_dim: int = 512
    n_conditioning_layers: int = 8
    n_speech_layers: int = 8
    n_codes: int = 8192

    def __post_init__(self) -> None:
        if self.n_codes < 1:
            raise ValueError(f"n_codes must be at least 1, not {self.n_codes}")
        _ = self.conditioning, self.speech  # which refuse what contradicts itself
        if self.dim % self.n_heads:
            raise ValueError(f"dim ({self.dim}) is no multiple of n_heads ({self.n_heads})")
        if self.dim % 2 or self.n_groups < 4:
            raise ValueError(f"dim ({self.dim}) must be a multiple of 4, for the groups of its group norms")

    @property
    def n_groups(self) -> int:
        """Groups of a group norm: at most 8, 16 or 32 by the width, halved until they divide it."""
        n_groups = 8 if self.dim <= 16 else 16 if self.dim <= 64 else 32
        while self.dim % n_groups:
            n_groups //= 2
        return n_groups

    @property
    def conditioning(self) -> RotarySizes:
        """Sizes of the recording's encoder."""
        return self._encoder(self.n_conditioning_layers)

    @property
    def speech(self) -> RotarySizes:
        """Sizes of the codes' encoder."""
        return self._encoder(self.n_speech_layers)

    def _encoder(self, n_layers: int) -> RotarySizes:
        return RotarySizes(
            dim=self.dim,
            n_layers=n_layers,
            n_heads=self.n_heads,
            attention_dim=self.attention_dim,
            feedforward_dim=self.dim,
        )

"""Every size of a CLVP."""

from dataclasses import dataclass

from retimbre.nn.rotary_encoder import RotarySizes

DROPOUT = 0.1  # in training; a constant of the original


@dataclass(frozen=True, kw_only=True)
class ClvpConfig:
    """What a CLVP is. The defaults are those of the released `clvp2.pth`.

    Args:
        n_symbols: Rows of the table of text symbols.
        n_codes: Rows of the table of codes; stop codes have none.
        text_dim: Channels of the text's encoder.
        n_text_layers: Its pairs of attention and feed-forward.
        n_text_heads: Its attention heads.
        text_attention_dim: Channels of these heads together.
        speech_dim: Channels of the codes' encoder; the next three likewise.
        latent_dim: Channels of the space in which text and codes are compared.
    """

    n_symbols: int = 256
    n_codes: int = 8192
    text_dim: int = 768
    n_text_layers: int = 20
    n_text_heads: int = 12
    text_attention_dim: int = 768
    speech_dim: int = 768
    n_speech_layers: int = 20
    n_speech_heads: int = 12
    speech_attention_dim: int = 768
    latent_dim: int = 768

    def __post_init__(self) -> None:
        for name in ("n_symbols", "n_codes", "latent_dim"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        _ = self.text, self.speech  # which refuse what contradicts itself

    @property
    def text(self) -> RotarySizes:
        """Sizes of the text's encoder."""
        return _sizes(self.text_dim, self.n_text_layers, self.n_text_heads, self.text_attention_dim)

    @property
    def speech(self) -> RotarySizes:
        """Sizes of the codes' encoder."""
        return _sizes(self.speech_dim, self.n_speech_layers, self.n_speech_heads, self.speech_attention_dim)


def _sizes(dim: int, n_layers: int, n_heads: int, attention_dim: int) -> RotarySizes:
    return RotarySizes(
        dim=dim,
        n_layers=n_layers,
        n_heads=n_heads,
        attention_dim=attention_dim,
        feedforward_dim=2 * dim,
        dropout=DROPOUT,
        is_wrapped=True,
    )

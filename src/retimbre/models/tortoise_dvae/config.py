"""Every size of a discrete variational autoencoder."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeVar, get_args

from torch import Tensor

Length = TypeVar("Length", int, Tensor)
Activation = Literal["relu", "silu"]
ACTIVATIONS: tuple[str, ...] = get_args(Activation)


@dataclass(frozen=True, kw_only=True)
class DvaeConfig:
    """What the autoencoder is. The defaults are TorToiSe's; XTTS v2 has 1,024 codes.

    Args:
        n_mels: Bands of the spectrogram.
        n_codes: Entries of the code book.
        codebook_dim: Channels of an entry.
        dim: Channels after the first layer; each further layer doubles them.
        n_layers: Layers that shorten a spec, and as many that lengthen it again.
        n_resblocks: Residual blocks before the code book, and as many after it.
        kernel: Of the layers that change the length, in frames.
        stride: How much each layer shortens.
        activation: After each convolution but the last of a part.
        is_transposed: Do transposed convolutions lengthen, or is each frame repeated and then convolved?
    """

    n_mels: int = 80
    n_codes: int = 8192
    codebook_dim: int = 512
    dim: int = 512
    n_layers: int = 2
    n_resblocks: int = 3
    kernel: int = 3
    stride: int = 2
    activation: Activation = "relu"
    is_transposed: bool = False

    def __post_init__(self) -> None:
        sizes = {name: value for name, value in vars(self).items() if isinstance(value, int)}
        sizes.pop("is_transposed")
        if wrong := [f"{name} {value}" for name, value in sizes.items() if value < 1]:
            raise ValueError(f"each size must be at least 1, not {', '.join(wrong)}")
        if self.n_layers > 16:
            raise ValueError(f"n_layers ({self.n_layers}) would double the channels beyond any use")
        if self.activation not in ACTIVATIONS:
            raise ValueError(f"activation is {' or '.join(ACTIVATIONS)}, not {self.activation!r}")
        if self.stride > self.kernel:
            raise ValueError(f"stride ({self.stride}) is larger than kernel ({self.kernel}): frames are lost")

    @property
    def dims(self) -> tuple[int, ...]:
        """Channels after each layer that shortens."""
        return tuple(self.dim * 2**layer for layer in range(self.n_layers))

    @property
    def padding(self) -> int:
        """Zeros at each end before a layer that changes the length."""
        return (self.kernel - 1) // 2

    def shortened(self, n: Length) -> Length:
        """What one layer before the code book makes of a length."""
        return (n + 2 * self.padding - self.kernel) // self.stride + 1

    def lengthened(self, n: Length) -> Length:
        """What one layer after the code book makes of a length."""
        if self.is_transposed:
            return (n - 1) * self.stride - 2 * self.padding + self.kernel
        return n * self.stride + 2 * self.padding - self.kernel + 1

    def codes_in(self, n_frames: Length) -> Length:
        """Codes of a spec of `n_frames`: in released files one for each four frames, rounded up."""
        for _ in range(self.n_layers):
            n_frames = self.shortened(n_frames)
        return n_frames

    def frames_in(self, n_codes: Length) -> Length:
        """Frames that `n_codes` become: in released files four each."""
        for _ in range(self.n_layers):
            n_codes = self.lengthened(n_codes)
        return n_codes


PRESETS: Mapping[str, DvaeConfig] = {
    "released": DvaeConfig(),
    "small": DvaeConfig(n_codes=1024, codebook_dim=128, dim=128),
    "tiny": DvaeConfig(n_codes=256, codebook_dim=32, dim=32, n_resblocks=1),
}
"""Sizes for a new network: TorToiSe's (51.6 M parameters), 3.3 M, and 0.1 M for experiments."""

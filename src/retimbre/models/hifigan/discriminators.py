"""The two kinds of discriminators of HiFi-GAN (https://arxiv.org/abs/2010.05646), named as in EveryVoice.

Axes used in this file:
    batch    waveforms
    samples  of the waveform
    dim      channels
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from retimbre.models.hifigan.config import DiscriminatorConfig
from retimbre.nn.judges import Judgement, Judges, PeriodDiscriminator, Wave, judge
from retimbre.nn.weight_norm import weight_norm

SCALE_KERNELS = (15, 41, 41, 41, 41, 41, 5)
SCALE_STRIDES = (1, 2, 2, 4, 4, 1, 1)


class SpectralConv1d(nn.Conv1d):
    """A convolution whose weight is divided by its largest singular value (https://arxiv.org/abs/1802.05957).

    The value is estimated by one power iteration per training step, from the vectors of the step before. The
    tensors are named as torch's older spectral norm names them, because released files do.
    """

    weight_u: Tensor
    weight_v: Tensor

    def __init__(
        self, n_in: int, n_out: int, kernel: int, stride: int, *, padding: int, groups: int = 1
    ) -> None:
        super().__init__(n_in, n_out, kernel, stride, padding=padding, groups=groups)
        self.weight_orig = nn.Parameter(self.weight.detach().clone())
        del self.weight
        flat = self.weight_orig.detach().flatten(1)
        self.register_buffer("weight_u", functional.normalize(torch.randn(flat.shape[0]), dim=0))
        self.register_buffer("weight_v", functional.normalize(torch.randn(flat.shape[1]), dim=0))

    def forward(self, x: Float[Tensor, "batch dim samples"]) -> Float[Tensor, "batch dim_out samples_out"]:
        with torch.autocast(x.device.type, enabled=False):
            flat = self.weight_orig.flatten(1)
            if self.training:
                self._iterate(flat.detach())
            # Copies: a second call in the same step moves the vectors that this one's gradient still needs.
            largest = self.weight_u.clone() @ (flat @ self.weight_v.clone())
        return self._conv_forward(x, self.weight_orig / largest, self.bias)

    @torch.no_grad()
    def _iterate(self, flat: Float[Tensor, "out rest"]) -> None:
        self.weight_v.copy_(functional.normalize(flat.T @ self.weight_u, dim=0))
        self.weight_u.copy_(functional.normalize(flat @ self.weight_v, dim=0))


class ScaleDiscriminator(nn.Module):
    """Judges a waveform as it is."""

    def __init__(self, channels: tuple[int, ...], groups: tuple[int, ...], *, is_spectral: bool) -> None:
        super().__init__()
        conv = SpectralConv1d if is_spectral else _weight_normed_conv
        inputs = (1, *channels[:-1])
        layers = zip(inputs, channels, SCALE_KERNELS, SCALE_STRIDES, groups, strict=True)
        self.convs = nn.ModuleList(
            conv(n_in, n_out, kernel, stride, padding=kernel // 2, groups=n_groups)
            for n_in, n_out, kernel, stride, n_groups in layers
        )
        self.conv_post = conv(channels[-1], 1, 3, 1, padding=1)

    def forward(self, wave: Wave) -> Judgement:
        return judge(self.convs, self.conv_post, wave)


def _weight_normed_conv(
    n_in: int, n_out: int, kernel: int, stride: int, *, padding: int, groups: int = 1
) -> nn.Module:
    return weight_norm(nn.Conv1d(n_in, n_out, kernel, stride, padding=padding, groups=groups))


class MultiPeriod(nn.Module):
    """One discriminator for each period."""

    def __init__(self, config: DiscriminatorConfig) -> None:
        super().__init__()
        self.discriminators = nn.ModuleList(
            PeriodDiscriminator(period, config.period_channels) for period in config.periods
        )

    def forward(self, wave: Wave) -> list[Judgement]:
        return [discriminator(wave) for discriminator in self.discriminators]


class MultiScale(nn.Module):
    """One discriminator for the waveform, one for half its rate, and so on."""

    def __init__(self, config: DiscriminatorConfig) -> None:
        super().__init__()
        self.discriminators = nn.ModuleList(
            ScaleDiscriminator(config.scale_channels, config.scale_groups, is_spectral=scale == 0)
            for scale in range(config.n_scales)
        )

    def forward(self, wave: Wave) -> list[Judgement]:
        judgements = []
        for scale, discriminator in enumerate(self.discriminators):
            if scale:
                wave = functional.avg_pool1d(wave, 4, stride=2, padding=2)
            judgements.append(discriminator(wave))
        return judgements


class Discriminators(Judges):
    """All of them; needed for training only."""

    def __init__(self, config: DiscriminatorConfig) -> None:
        super().__init__()
        self.config = config
        self.mpd = MultiPeriod(config)
        self.msd = MultiScale(config)

    def forward(self, wave: Wave) -> list[Judgement]:
        """One judgement per discriminator: the periods, then the scales."""
        return self.mpd(wave) + self.msd(wave)

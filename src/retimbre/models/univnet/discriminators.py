"""UnivNet's discriminators (https://arxiv.org/abs/2106.07889), named as in its trainer, in lower case.

Sources differ on three points, and none of them is the authors': the trainer of the released vocoder
(https://github.com/maum-ai/univnet, whose PESQ is the paper's) and others (Coqui's TTS, Parallel WaveGAN's
form of it). Taken here are

- layers that are long in time and that every second frame passes on, as there; others turn both axes around;
- magnitudes through Hann windows, as the loss has them everywhere; there the window of the discriminators is
  flat, for no stated reason;
- magnitudes through which the gradient flows, as there: Coqui's stops it, and its three teach nothing.

Axes used in this file:
    batch    waveforms
    samples  of the waveform
    bins     of the Fourier transform
    frames   moments
"""

from jaxtyping import Float
from torch import Tensor, nn

from retimbre.models.univnet.config import JudgesConfig
from retimbre.models.univnet.magnitudes import RESOLUTIONS, Resolution, magnitudes
from retimbre.nn.judges import Judgement, Judges, PeriodDiscriminator, Wave, judge
from retimbre.nn.weight_norm import weight_norm

SLOPE = 0.2  # of every leaky ReLU
TALL_AND_WIDE = ((3, 9), (3, 9), (3, 9), (3, 9), (3, 3))  # kernels over bins and frames
STEPS = (1, 2, 2, 2, 1)  # over frames


class SpectrumDiscriminator(nn.Module):
    """Judges the magnitudes of a waveform, an image of one channel.

    Scores are `bins` times an eighth of the frames, rounded up three times.
    """

    def __init__(self, resolution: Resolution, channels: int) -> None:
        super().__init__()
        self.resolution = resolution
        inputs = (1, *[channels] * (len(STEPS) - 1))
        self.convs = nn.ModuleList(
            _layer(n_in, channels, kernel, step)
            for n_in, kernel, step in zip(inputs, TALL_AND_WIDE, STEPS, strict=True)
        )
        self.conv_post = _layer(channels, 1, (3, 3), 1)

    def forward(self, wave: Wave) -> Judgement:
        image: Float[Tensor, "batch 1 bins frames"] = magnitudes(wave, self.resolution).unsqueeze(1)
        return judge(self.convs, self.conv_post, image, slope=SLOPE)


def _layer(n_in: int, n_out: int, kernel: tuple[int, int], step: int) -> nn.Module:
    layer: nn.Module = weight_norm(
        nn.Conv2d(n_in, n_out, kernel, (1, step), padding=(kernel[0] // 2, kernel[1] // 2))
    )
    return layer


class MultiResolution(nn.Module):
    """One discriminator for each of the three resolutions."""

    def __init__(self, config: JudgesConfig) -> None:
        super().__init__()
        self.discriminators = nn.ModuleList(
            SpectrumDiscriminator(resolution, config.spectrum_channels) for resolution in RESOLUTIONS
        )

    def forward(self, wave: Wave) -> list[Judgement]:
        return [discriminator(wave) for discriminator in self.discriminators]


class MultiPeriod(nn.Module):
    """One discriminator for each period."""

    def __init__(self, config: JudgesConfig) -> None:
        super().__init__()
        self.discriminators = nn.ModuleList(
            PeriodDiscriminator(period, config.period_channels, slope=SLOPE) for period in config.periods
        )

    def forward(self, wave: Wave) -> list[Judgement]:
        return [discriminator(wave) for discriminator in self.discriminators]


class UnivNetJudges(Judges):
    """All of them: three that look at magnitudes, five at periods; needed for training only.

    A waveform has at least `magnitudes.FEWEST_SAMPLES` samples.
    """

    def __init__(self, config: JudgesConfig) -> None:
        super().__init__()
        self.config = config
        self.mrd = MultiResolution(config)
        self.mpd = MultiPeriod(config)

    def forward(self, wave: Wave) -> list[Judgement]:
        """One judgement per discriminator: the resolutions, then the periods."""
        return self.mrd(wave) + self.mpd(wave)

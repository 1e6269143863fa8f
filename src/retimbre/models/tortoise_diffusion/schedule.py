"""How a spec drowns in noise step by step, and how the decoder finds it again.

Denoising diffusion (https://arxiv.org/abs/2006.11239) with a learned range of the variance and fewer steps
than in training (https://arxiv.org/abs/2102.09672), without new noise (https://arxiv.org/abs/2010.02502), and
with guidance (https://arxiv.org/abs/2207.12598), each as TorToiSe has it. Specs are normalised to -1..1.

Axes used in this file:
    batch    utterances
    mels     bands of the spectrogram
    frames   of the spectrogram
    outputs  of the network: noise in each band, then the share of its variance
    steps    of the schedule
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate, repeat

import torch
from jaxtyping import Float, Int
from torch import Tensor

from retimbre.models.tortoise_diffusion.model import DiffusionDecoder, Hidden, Spec

Outputs = Float[Tensor, "batch outputs frames"]
Steps = Int[Tensor, "batch"]
Denoise = Callable[[Tensor, Tensor], Tensor]  # a noisy spec and its steps -> outputs

N_TRAINED_STEPS = 4000
FIRST_BETA, LAST_BETA = 0.0001, 0.02  # of a thousand steps; of more, each is smaller in proportion
GUIDANCE = 2.0  # as TorToiSe speaks


@dataclass(frozen=True, kw_only=True, eq=False)
class Schedule:
    """How much of a spec is left after each step. Step 0 is the last one on the way back.

    Args:
        timesteps: What the network calls each of these steps: its number among the trained ones.
        kept: Share of the spec's energy that is left, in float64; the rest is noise.
    """

    timesteps: Int[Tensor, "steps"]
    kept: Float[Tensor, "steps"]

    def __len__(self) -> int:
        return len(self.kept)

    @property
    def kept_before(self) -> Float[Tensor, "steps"]:
        """What is left one step earlier: everything before step 0."""
        return torch.cat([self.kept.new_ones(1), self.kept[:-1]])

    @property
    def betas(self) -> Float[Tensor, "steps"]:
        """Share of the energy that one step replaces by noise: the largest variance of the way back."""
        return 1 - self.kept / self.kept_before

    @property
    def smallest_variance(self) -> Float[Tensor, "steps"]:
        """Of the way back, if the clean spec were known; that of step 0, which is none, is the next one's."""
        variance = self.betas * (1 - self.kept_before) / (1 - self.kept)
        return torch.cat([variance[1:2], variance[1:]]) if len(self) > 1 else self.betas

    def noised(self, clean: Spec, noise: Spec, steps: Steps) -> Spec:
        """The spec as it is at its step, with this noise."""
        return _at(self.kept.sqrt(), steps) * clean + _at((1 - self.kept).sqrt(), steps) * noise

    def clean(self, noisy: Spec, noise: Spec, steps: Steps) -> Spec:
        """The spec without its noise."""
        return _at(self.kept.rsqrt(), steps) * noisy - _at((1 / self.kept - 1).sqrt(), steps) * noise

    def noise(self, noisy: Spec, clean: Spec, steps: Steps) -> Spec:
        """What must have been the noise."""
        return (_at(self.kept.rsqrt(), steps) * noisy - clean) / _at((1 / self.kept - 1).sqrt(), steps)

    def mean_before(self, noisy: Spec, clean: Spec, steps: Steps) -> Spec:
        """Where the spec was most likely one step earlier."""
        of_clean = self.betas * self.kept_before.sqrt() / (1 - self.kept)
        of_noisy = (1 - self.kept_before) * (1 - self.betas).sqrt() / (1 - self.kept)
        return _at(of_clean, steps) * clean + _at(of_noisy, steps) * noisy

    def log_variance(self, share: Spec, steps: Steps) -> Spec:
        """How far from there it may have been; the network's share says -1 for least, 1 for most."""
        part = (share + 1) / 2
        smallest, largest = _at(self.smallest_variance.log(), steps), _at(self.betas.log(), steps)
        return part * largest + (1 - part) * smallest


def trained_schedule() -> Schedule:
    """The 4,000 steps of training, each a little larger than the one before."""
    scale = 1000 / N_TRAINED_STEPS
    betas = torch.linspace(FIRST_BETA, LAST_BETA, N_TRAINED_STEPS, dtype=torch.float64) * scale
    return Schedule(timesteps=torch.arange(N_TRAINED_STEPS), kept=(1 - betas).cumprod(0))


def shorter_schedule(n_steps: int) -> Schedule:
    """`n_steps` of them, evenly spread, with the first and the last.

    Raises:
        ValueError: if there are not as many.
    """
    if not 1 <= n_steps <= N_TRAINED_STEPS:
        raise ValueError(f"a spec is made in 1 to {N_TRAINED_STEPS} steps, not {n_steps}")
    stride = (N_TRAINED_STEPS - 1) / max(1, n_steps - 1)
    # Added up, not multiplied: then what lies half-way is rounded as in TorToiSe.
    timesteps = torch.tensor([round(place) for place in accumulate(repeat(stride, n_steps - 1), initial=0.0)])
    return Schedule(timesteps=timesteps, kept=trained_schedule().kept[timesteps])


def denoiser(
    model: DiffusionDecoder, aligned: Hidden, schedule: Schedule, *, guidance: float = GUIDANCE
) -> Denoise:
    """The network's outputs for noisy specs at steps of a schedule.

    Args:
        model: The network.
        aligned: What is to be said, from `model.align`.
        schedule: Whose steps they are.
        guidance: How far the noise is drawn away from that of nothing said: so far at the last step, hardly
            at the first, where nothing is to be heard yet. 0 costs half as much.
    """

    def denoise(noisy: Spec, steps: Steps) -> Outputs:
        timesteps = schedule.timesteps.to(steps.device)[steps]
        told = model(noisy, timesteps, aligned)
        if not guidance:
            return told
        untold = model(noisy, timesteps, model.unconditioned(len(noisy), noisy.shape[-1]))
        noise, share = told.chunk(2, dim=1)
        pull = (guidance * (1 - steps / len(schedule))).to(noise.dtype).view(-1, 1, 1)
        return torch.cat([(1 + pull) * noise - pull * untold.chunk(2, dim=1)[0], share], dim=1)

    return denoise


@torch.no_grad()
def sampled(
    denoise: Denoise,
    start: Spec,
    schedule: Schedule,
    *,
    new_noise: Callable[[Tensor], Tensor] = torch.randn_like,
) -> Spec:
    """A spec found in the noise `start`, with new noise at each step, as TorToiSe does by default."""
    spec = start
    for step in reversed(range(len(schedule))):
        steps = torch.full((len(start),), step, device=start.device)
        noise, share = denoise(spec, steps).chunk(2, dim=1)
        clean = schedule.clean(spec, noise, steps).clamp(-1, 1)
        spec = schedule.mean_before(spec, clean, steps)
        if step:
            spec = spec + (schedule.log_variance(share, steps) / 2).exp() * new_noise(spec)
    return spec


@torch.no_grad()
def sampled_without_noise(denoise: Denoise, start: Spec, schedule: Schedule) -> Spec:
    """A spec found in the noise `start` and determined by it alone (DDIM): good with few steps."""
    spec = start
    for step in reversed(range(len(schedule))):
        steps = torch.full((len(start),), step, device=start.device)
        noise, _ = denoise(spec, steps).chunk(2, dim=1)
        clean = schedule.clean(spec, noise, steps).clamp(-1, 1)
        noise = schedule.noise(spec, clean, steps)  # what it must be after the clamp
        kept = schedule.kept_before
        spec = _at(kept.sqrt(), steps) * clean + _at((1 - kept).sqrt(), steps) * noise
    return spec


def _at(values: Float[Tensor, "steps"], steps: Steps) -> Float[Tensor, "batch 1 1"]:
    """One value for each utterance, rounded to float32 only here."""
    return values.float().to(steps.device)[steps].view(-1, 1, 1)

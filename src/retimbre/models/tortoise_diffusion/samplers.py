"""How a spec is found in noise, step by step, with the diffusion decoder.

As TorToiSe does it by default (https://arxiv.org/abs/2102.09672), or with fewer steps: without new noise
(https://arxiv.org/abs/2010.02502), or by a solver of second order (https://arxiv.org/abs/2211.01095); each
with guidance (https://arxiv.org/abs/2207.12598). Specs are normalised to -1..1.

Axes used in this file:
    batch    utterances
    mels     bands of the spectrogram
    frames   of the spectrogram
    outputs  of the network: noise in each band, then the share of its variance
"""

import math
from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from retimbre.jobs.listener import Watch
from retimbre.models.tortoise_diffusion.model import Aligned, DiffusionDecoder, Spec
from retimbre.models.tortoise_diffusion.schedule import (
    Schedule,
    Steps,
    at_steps,
    schedule_by_ratio,
    shorter_schedule,
)

Sampler = Literal["ddpm", "ddim", "dpm++2m"]
Outputs = Float[Tensor, "batch outputs frames"]
Denoise = Callable[[Tensor, Tensor], Tensor]  # a noisy spec and its steps -> outputs
NewNoise = Callable[[Tensor], Tensor]  # as large as this
Move = Callable[[Tensor, Tensor, Tensor, int], Tensor]  # spec, clean, share of variance, step -> spec before

GUIDANCE = 2.0  # as TorToiSe speaks


def schedule_for(sampler: Sampler, n_steps: int) -> Schedule:
    """The steps that suit a sampler; for TorToiSe's own and the one without new noise, TorToiSe's.

    Raises:
        ValueError: if there are not as many.
    """
    return schedule_by_ratio(n_steps) if sampler == "dpm++2m" else shorter_schedule(n_steps)


def noise_from(generator: torch.Generator) -> NewNoise:
    """Normally distributed noise for specs on any device: the same on all, for it is drawn on the CPU.

    Args:
        generator: On the CPU.
    """
    return lambda like: torch.randn(like.shape, generator=generator).to(like)


def denoiser(
    model: DiffusionDecoder, aligned: Aligned, schedule: Schedule, *, guidance: float = GUIDANCE
) -> Denoise:
    """The network's outputs for noisy specs at steps of a schedule.

    Args:
        model: The network, packed or not.
        aligned: What is to be said, from `model.align`.
        schedule: Whose steps they are.
        guidance: How far the noise is drawn away from that of nothing said: so far at the last step, hardly
            at the first, where nothing is to be heard yet. 0 costs half as much.
    """
    with torch.no_grad():
        steering = model.steering(schedule.timesteps.to(aligned.device))
    if not guidance:
        return lambda noisy, steps: model.denoised(noisy, steering[steps], aligned)
    both = torch.cat([aligned, model.unconditioned(len(aligned), aligned.shape[-1])])

    def denoise(noisy: Spec, steps: Steps) -> Outputs:
        outputs = model.denoised(torch.cat([noisy, noisy]), steering[torch.cat([steps, steps])], both)
        told, untold = (half.chunk(2, dim=1) for half in outputs.chunk(2))
        pull = guidance * (1 - at_steps(schedule.depth, steps)).to(outputs.dtype)
        return torch.cat([(1 + pull) * told[0] - pull * untold[0], told[1]], dim=1)

    return denoise


def spec_from_noise(
    sampler: Sampler,
    denoise: Denoise,
    start: Spec,
    schedule: Schedule,
    *,
    new_noise: NewNoise = torch.randn_like,
    watch: Watch | None = None,
) -> Spec:
    """A spec found in the noise `start` by the sampler of this name.

    Args:
        denoise: From `denoiser`, for the same schedule.
        start: Noise times TorToiSe's diffusion temperature.
        schedule: From `schedule_for`.
        new_noise: What `ddpm` adds at each step; the others add none.
        watch: Told after each step how many are done, and of how many.
    """
    if sampler == "ddpm":
        return sampled(denoise, start, schedule, new_noise=new_noise, watch=watch)
    if sampler == "ddim":
        return sampled_without_noise(denoise, start, schedule, watch=watch)
    return solved(denoise, start, schedule, watch=watch)


def sampled(
    denoise: Denoise,
    start: Spec,
    schedule: Schedule,
    *,
    new_noise: NewNoise = torch.randn_like,
    watch: Watch | None = None,
) -> Spec:
    """A spec found in the noise `start`, with new noise at each step, as TorToiSe does by default."""

    def move(spec: Spec, clean: Spec, share: Spec, step: int) -> Spec:
        steps = _steps(spec, step)
        mean = schedule.mean_before(spec, clean, steps)
        if not step:
            return mean
        return mean + (schedule.log_variance(share, steps) / 2).exp() * new_noise(spec)

    return _walked(denoise, start, schedule, move, watch)


def sampled_without_noise(
    denoise: Denoise, start: Spec, schedule: Schedule, *, watch: Watch | None = None
) -> Spec:
    """A spec found in the noise `start` and determined by it alone (DDIM): good with few steps."""
    kept = schedule.kept_before

    def move(spec: Spec, clean: Spec, _share: Spec, step: int) -> Spec:
        steps = _steps(spec, step)
        noise = schedule.noise(spec, clean, steps)  # what it must be after the clamp
        return at_steps(kept.sqrt(), steps) * clean + at_steps((1 - kept).sqrt(), steps) * noise

    return _walked(denoise, start, schedule, move, watch)


def solved(denoise: Denoise, start: Spec, schedule: Schedule, *, watch: Watch | None = None) -> Spec:
    """A spec found in the noise `start` and determined by it alone (DPM-Solver++(2M)): for the fewest steps.

    Between two steps the clean spec is taken to change as it did between the two before.
    """
    ratio = schedule.log_ratio
    strides = (ratio[:-1] - ratio[1:]).tolist()  # from step 1 to 0, from 2 to 1, ...
    amplitudes, noise_levels = schedule.kept.sqrt().tolist(), (1 - schedule.kept).sqrt()
    shrinkage = (noise_levels[:-1] / noise_levels[1:]).tolist()
    before: list[Spec] = []

    def move(spec: Spec, clean: Spec, _share: Spec, step: int) -> Spec:
        if not step:
            return clean  # without any noise the solver's step ends there
        stride = strides[step - 1]
        ahead = clean
        if before:
            ahead = clean + stride / (2 * strides[step]) * (clean - before.pop())
        before.append(clean)
        return shrinkage[step - 1] * spec - amplitudes[step - 1] * math.expm1(-stride) * ahead

    return _walked(denoise, start, schedule, move, watch)


@torch.no_grad()
def _walked(denoise: Denoise, start: Spec, schedule: Schedule, move: Move, watch: Watch | None) -> Spec:
    """From noise to a spec, at each step with the clean spec that the network believes in."""
    spec = start
    for step in reversed(range(len(schedule))):
        steps = _steps(spec, step)
        noise, share = denoise(spec, steps).chunk(2, dim=1)
        clean = schedule.clean(spec, noise, steps).clamp(-1, 1)
        spec = move(spec, clean, share, step)
        if watch is not None:
            watch(len(schedule) - step, len(schedule))
    return spec


def _steps(spec: Spec, step: int) -> Steps:
    return torch.full((len(spec),), step, device=spec.device)

"""What a diffusion decoder minimises: prediction, target -> named losses; and those of a batch.

Axes used in this file:
    batch    utterances
    mels     bands of the spectrogram
    frames   of the spectrogram
    outputs  of the network: noise in each band, then the share of its variance
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from retimbre.models.tortoise_diffusion.batch import DiffusionBatch
from retimbre.models.tortoise_diffusion.model import Aligned, DiffusionDecoder, Spec
from retimbre.models.tortoise_diffusion.schedule import N_TRAINED_STEPS, Schedule

PerUtterance = Float[Tensor, "batch"]
Scalar = Float[Tensor, ""]

HALF_BIN = 1 / 255  # at step 0 a value counts as found if it is off by less; as in images of 256 levels
LEAST_CHANCE = 1e-12
UNTOLD_SHARE = 0.1  # of utterances for which nothing is said, by nobody: guidance needs it


@dataclass(frozen=True, kw_only=True, eq=False)
class Draws:
    """What chance decides about a batch.

    Args:
        steps: How deep each spec drowns.
        noise: In what.
        is_untold: Whether the network is told neither what is said nor by whom.
    """

    steps: Int[Tensor, "batch"]
    noise: Spec
    is_untold: Bool[Tensor, "batch"]


def drawn_for(spec: Spec) -> Draws:
    """From torch's own generator on the CPU, utterance by utterance: no device and no way to divide a batch
    changes what is drawn."""
    n_utterances, *size = spec.shape
    drawn = [
        (torch.randint(N_TRAINED_STEPS, ()), torch.rand(()) < UNTOLD_SHARE, torch.randn(size))
        for _ in range(n_utterances)
    ]
    steps, is_untold, noise = (torch.stack(each).to(spec.device) for each in zip(*drawn, strict=True))
    return Draws(steps=steps, noise=noise, is_untold=is_untold)


def batch_losses(
    model: DiffusionDecoder, batch: DiffusionBatch, draws: Draws, schedule: Schedule, *, has_noise: bool
) -> dict[str, Scalar]:
    """Means over all frames; of a part of a batch, its share of those of the whole.

    Args:
        has_noise: Also those of `diffusion_losses`; without them there is only the first guess, and most of
            the network is not asked. Where the first guess teaches nothing that moves, they are not waited
            for.

    Returns:
        `first_guess`, the mean squared error of the spec without any diffusion, to which an utterance adds
        nothing where nothing is said; and, if they are wanted, `noise` and `variance`.
    """
    aligned = model.align(batch.latents, model.voice(batch.clips), batch.spec.shape[-1])
    losses = {"first_guess": _first_guess_loss(model, aligned, batch.spec, draws.is_untold)}
    if has_noise or not losses["first_guess"].requires_grad:
        untold = model.unconditioned_embedding.to(aligned.dtype)
        told = torch.where(draws.is_untold.view(-1, 1, 1), untold, aligned)
        noisy = schedule.noised(batch.spec, draws.noise, draws.steps)
        outputs = model(noisy, draws.steps, told)
        losses |= diffusion_losses(outputs, batch.spec, draws.noise, draws.steps, schedule)
    return {name: loss.mean() * batch.share for name, loss in losses.items()}


def _first_guess_loss(
    model: DiffusionDecoder, aligned: Aligned, spec: Spec, is_untold: Bool[Tensor, "batch"]
) -> PerUtterance:
    return _mean(model.first_guess(aligned).float() - spec, power=2).masked_fill(is_untold, 0.0)


def diffusion_losses(
    outputs: Float[Tensor, "batch outputs frames"],
    clean: Spec,
    noise: Spec,
    steps: Int[Tensor, "batch"],
    schedule: Schedule,
) -> dict[str, PerUtterance]:
    """How wrong the network is about noisy specs, for each utterance.

    Args:
        outputs: What it gave for `schedule.noised(clean, noise, steps)`.
        clean: The normalised specs.
        noise: What was added.
        steps: Of the schedule.
        schedule: That of training.

    Returns:
        `noise`, the mean squared error of the noise; `variance`, in bits, how badly the variance describes
        what the step before can have been. The second teaches the variance alone: its noise is detached.
    """
    outputs, clean, noise = outputs.float(), clean.float(), noise.float()
    found, share = outputs.chunk(2, dim=1)
    return {
        "noise": _mean(found - noise, power=2),
        "variance": _variance_loss(found.detach(), share, clean, noise, steps, schedule),
    }


def _variance_loss(
    found: Spec, share: Spec, clean: Spec, noise: Spec, steps: Int[Tensor, "batch"], schedule: Schedule
) -> PerUtterance:
    noisy = schedule.noised(clean, noise, steps)
    mean = schedule.mean_before(noisy, schedule.clean(noisy, found, steps), steps)
    log_variance = schedule.log_variance(share, steps)
    true_mean = schedule.mean_before(noisy, clean, steps)
    true_log_variance = schedule.log_variance(torch.full_like(share, -1.0), steps)
    divergence = _divergence(true_mean, true_log_variance, mean, log_variance)
    surprise = -log_chance(clean, mean, log_variance)
    nats = torch.where(steps.view(-1, 1, 1) == 0, surprise, divergence)
    return _mean(nats) / math.log(2)


def _divergence(true_mean: Spec, true_log_variance: Spec, mean: Spec, log_variance: Spec) -> Spec:
    """Kullback-Leibler divergence of two normal distributions, in nats."""
    ratio = true_log_variance - log_variance
    distance = (true_mean - mean).square() * (-log_variance).exp()
    return 0.5 * (ratio.exp() - ratio - 1 + distance)


def log_chance(value: Spec, mean: Spec, log_variance: Spec) -> Spec:
    """How likely a normal distribution is to give `value` within half a bin, in nats; the outermost bins have
    no end."""
    inverse = (-log_variance / 2).exp()
    below = torch.where(value < -0.999, 0.0, _up_to((value - mean - HALF_BIN) * inverse))
    above = torch.where(value > 0.999, 1.0, _up_to((value - mean + HALF_BIN) * inverse))
    return (above - below).clamp(min=LEAST_CHANCE).log()


def _up_to(x: Spec) -> Spec:
    """The normal distribution's integral, by the tanh that the weights were trained with."""
    return 0.5 * (1 + (math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)).tanh())


def _mean(x: Spec, *, power: int = 1) -> PerUtterance:
    return (x**power).mean(dim=(1, 2))

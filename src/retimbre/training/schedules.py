"""The learning rate at each step: pure functions, so that nothing has to be saved or restored."""

import math

from retimbre.recipe.training import Optimiser


def learning_rate(settings: Optimiser, step: int, n_steps: int) -> float:
    """Learning rate of the update after `step` updates, in a run of `n_steps`."""
    peak, warmup = settings.learning_rate, settings.warmup_steps
    if settings.schedule == "noam":
        return _noam(peak, max(step, 1), max(warmup, 1))
    if step < warmup:
        return peak * (step + 1) / warmup
    if settings.schedule == "milestones":
        return peak * settings.gamma ** sum(step >= milestone for milestone in settings.milestones)
    if settings.schedule == "exponential":
        return float(peak * settings.decay ** ((step - warmup) / 1000))
    if settings.schedule == "cosine":
        done = (step - warmup) / max(1, (settings.schedule_steps or n_steps) - warmup)
        return peak * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * min(done, 1.0))))
    return peak


def _noam(peak: float, step: int, warmup: int) -> float:
    """Linear to `peak` at step `warmup`, then falling with the root of the step.

    As in EveryVoice, which counts the updates before this one; the first two have the same rate.
    """
    return float(peak * math.sqrt(warmup) * min(step**-0.5, step * warmup**-1.5))

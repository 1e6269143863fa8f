"""How a spec drowns in noise step by step.

Denoising diffusion (https://arxiv.org/abs/2006.11239) with a learned range of the variance and fewer steps
than in training (https://arxiv.org/abs/2102.09672), as TorToiSe has it. Specs are normalised to -1..1.

Axes used in this file:
    batch   utterances
    mels    bands of the spectrogram
    frames  of the spectrogram
    steps   of the schedule
"""

from dataclasses import dataclass
from itertools import accumulate, repeat

import torch
from jaxtyping import Float, Int
from torch import Tensor

from retimbre.models.tortoise_diffusion.model import Spec

Steps = Int[Tensor, "batch"]

N_TRAINED_STEPS = 4000
FIRST_BETA, LAST_BETA = 0.0001, 0.02  # of a thousand steps; of more, each is smaller in proportion


@dataclass(frozen=True, kw_only=True, eq=False)
class Schedule:
    """How much of a spec is left after each step. Step 0 is the last one on the way back.

    Args:
        timesteps: What the network calls each of these steps: its number among the trained ones.
        kept: Share of the spec's energy that is left, in float64; the rest is noise.
        depth: How deep in the noise a step is, from 0 to 1: guidance is weaker there.
    """

    timesteps: Int[Tensor, "steps"]
    kept: Float[Tensor, "steps"]
    depth: Float[Tensor, "steps"]

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

    @property
    def log_ratio(self) -> Float[Tensor, "steps"]:
        """Natural logarithm of the spec's amplitude over that of the noise."""
        return (self.kept.log() - (1 - self.kept).log()) / 2

    def noised(self, clean: Spec, noise: Spec, steps: Steps) -> Spec:
        """The spec as it is at its step, with this noise."""
        return at_steps(self.kept.sqrt(), steps) * clean + at_steps((1 - self.kept).sqrt(), steps) * noise

    def clean(self, noisy: Spec, noise: Spec, steps: Steps) -> Spec:
        """The spec without its noise."""
        return (
            at_steps(self.kept.rsqrt(), steps) * noisy - at_steps((1 / self.kept - 1).sqrt(), steps) * noise
        )

    def noise(self, noisy: Spec, clean: Spec, steps: Steps) -> Spec:
        """What must have been the noise."""
        return (at_steps(self.kept.rsqrt(), steps) * noisy - clean) / at_steps(
            (1 / self.kept - 1).sqrt(), steps
        )

    def mean_before(self, noisy: Spec, clean: Spec, steps: Steps) -> Spec:
        """Where the spec was most likely one step earlier."""
        of_clean = self.betas * self.kept_before.sqrt() / (1 - self.kept)
        of_noisy = (1 - self.kept_before) * (1 - self.betas).sqrt() / (1 - self.kept)
        return at_steps(of_clean, steps) * clean + at_steps(of_noisy, steps) * noisy

    def log_variance(self, share: Spec, steps: Steps) -> Spec:
        """How far from there it may have been; the network's share says -1 for least, 1 for most."""
        part = (share + 1) / 2
        smallest, largest = at_steps(self.smallest_variance.log(), steps), at_steps(self.betas.log(), steps)
        return part * largest + (1 - part) * smallest


def trained_schedule() -> Schedule:
    """The 4,000 steps of training, each a little larger than the one before."""
    scale = 1000 / N_TRAINED_STEPS
    betas = torch.linspace(FIRST_BETA, LAST_BETA, N_TRAINED_STEPS, dtype=torch.float64) * scale
    return _at_timesteps(torch.arange(N_TRAINED_STEPS), (1 - betas).cumprod(0))


def shorter_schedule(n_steps: int) -> Schedule:
    """`n_steps` of them, evenly spread, with the first and the last; a single one is the first.

    Raises:
        ValueError: if there are not as many.
    """
    _require_steps(n_steps)
    stride = (N_TRAINED_STEPS - 1) / max(1, n_steps - 1)
    # Added up, not multiplied: then what lies half-way is rounded as in TorToiSe.
    places = [round(place) for place in accumulate(repeat(stride, n_steps - 1), initial=0.0)]
    return Schedule(
        timesteps=torch.tensor(places),
        kept=trained_schedule().kept[places],
        depth=torch.arange(n_steps, dtype=torch.float64) / n_steps,
    )


def schedule_by_ratio(n_steps: int) -> Schedule:
    """`n_steps` of them, with the first and the last, or the first alone. From each to the next the logarithm
    of the ratio of spec to noise changes by as much, so all have as much to do: a solver wants that.

    Raises:
        ValueError: if there are not as many.
    """
    _require_steps(n_steps)
    trained = trained_schedule()
    first, last = float(trained.log_ratio[0]), float(trained.log_ratio[-1])
    wanted = torch.linspace(first, last, n_steps, dtype=torch.float64)
    nearest = torch.searchsorted(-trained.log_ratio, -wanted).tolist()
    # Trained steps are far apart where little noise is left: there they are taken one after another.
    apart = accumulate(nearest, lambda before, place: max(before + 1, place))
    room = range(N_TRAINED_STEPS - n_steps, N_TRAINED_STEPS)
    places = [min(place, largest) for place, largest in zip(apart, room, strict=True)]
    return _at_timesteps(torch.tensor(places), trained.kept)


def _at_timesteps(timesteps: Int[Tensor, "steps"], all_kept: Float[Tensor, "all_steps"]) -> Schedule:
    return Schedule(timesteps=timesteps, kept=all_kept[timesteps], depth=timesteps.double() / N_TRAINED_STEPS)


def _require_steps(n_steps: int) -> None:
    if not 1 <= n_steps <= N_TRAINED_STEPS:
        raise ValueError(f"a spec is made in 1 to {N_TRAINED_STEPS} steps, not {n_steps}")


def at_steps(values: Float[Tensor, "steps"], steps: Steps) -> Float[Tensor, "batch 1 1"]:
    """One value for each utterance, rounded to float32 only here."""
    return values.float().to(steps.device)[steps].view(-1, 1, 1)

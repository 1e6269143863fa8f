"""How long to match, at which learning rate, on how much at once: each choice with its reason."""

import math
from dataclasses import dataclass

from retimbre.pipelines.delay import Delay
from retimbre.recipe.training import Training
from retimbre.training.choice import Choice

PASSES = 60  # over the speech, so that each second is heard often enough without being learnt by heart
FEWEST_STEPS, MOST_STEPS = 200, 25_000
LONG_RUN_STEPS = 2_000
NEW_DISCRIMINATOR_SHARE = 0.1


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The training section of a matching run, and how it came about."""

    training: Training
    choices: tuple[Choice, ...]


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What the plan is made from.

    Args:
        duration_s: How long the training recordings sound together.
        segment_s: How long one training segment sounds.
        hop_samples: Of the waveform that answers a frame.
        delay: What the vocoder has learnt.
        has_discriminators: Does the vocoder's checkpoint bring its own?
        budget_s: Seconds that training may take, if they are limited.
        step_s: Measured seconds per step.
    """

    duration_s: float
    segment_s: float
    hop_samples: int
    delay: Delay
    has_discriminators: bool
    budget_s: float | None = None
    step_s: float | None = None


def make_plan(given: Training, facts: Facts) -> Plan:
    """Fill in what the recipe leaves open; what it says is kept."""
    n_steps, steps = _steps(given, facts)
    rate, learning_rate = _learning_rate(given, n_steps)
    n_first, first = _discriminators_first(given, facts, n_steps)
    n_samples, shift = target_delay(given, facts, n_steps)
    prosody = _prosody(given)
    every = max(1, n_steps // 8)
    open_choices = {
        "validate_every_steps": every,
        "checkpoint_every_steps": every,
        "log_every_steps": max(1, min(given.log_every_steps, n_steps // 20)),
    }
    chosen = {name: n for name, n in open_choices.items() if name not in given.model_fields_set}
    training = given.model_copy(
        update={
            **chosen,
            "steps": n_steps,
            "spec_source": "produced",
            "discriminators_first_steps": n_first,
            "target_delay_samples": n_samples,
            "optimiser": given.optimiser.model_copy(update={"learning_rate": rate}),
        }
    )
    return Plan(training=training, choices=(learning_rate, steps, prosody, first, shift))


def _steps(given: Training, facts: Facts) -> tuple[int, Choice]:
    if "steps" in given.model_fields_set:
        return given.steps, Choice(choice="steps", value=f"{given.steps:,}", reason="as the recipe says")
    wanted = math.ceil(PASSES * facts.duration_s / (facts.segment_s * given.batch_size))
    n_steps = min(max(wanted, FEWEST_STEPS), MOST_STEPS)
    reason = f"{PASSES} passes over {facts.duration_s / 60:.1f} min of speech"
    if n_steps != wanted:
        reason += f" would be {wanted:,}; kept within {FEWEST_STEPS:,} and {MOST_STEPS:,}"
    if facts.budget_s and facts.step_s and n_steps * facts.step_s > facts.budget_s:
        n_steps = max(20, int(facts.budget_s / facts.step_s))
        reason += f"; {n_steps:,} fit into {facts.budget_s:.0f} s at {facts.step_s:.2f} s a step"
    return n_steps, Choice(choice="steps", value=f"{n_steps:,}", reason=reason)


def _learning_rate(given: Training, n_steps: int) -> tuple[float, Choice]:
    if "learning_rate" in given.optimiser.model_fields_set:
        rate, reason = given.optimiser.learning_rate, "as the recipe says"
    elif n_steps >= LONG_RUN_STEPS:
        rate, reason = 2e-5, "a fifth of a vocoder's usual 1e-4: the run is long enough for it"
    else:
        rate, reason = 1e-4, "a vocoder's usual rate: the run is too short for a lower one"
    return rate, Choice(choice="learning rate", value=f"{rate:g}", reason=reason)


def _prosody(given: Training) -> Choice:
    whose = given.produced_prosody
    if "produced_prosody" in given.model_fields_set:
        reason = "as the recipe says"
    else:
        reason = (
            "a spec of another pitch than the sound beside it teaches the vocoder to leave the voice out; "
            "what judges has the model's own"
        )
    return Choice(choice="pitch and energy of the pairs", value=f"the {whose}'s", reason=reason)


def _discriminators_first(given: Training, facts: Facts, n_steps: int) -> tuple[int, Choice]:
    if "discriminators_first_steps" in given.model_fields_set:
        n_first, reason = given.discriminators_first_steps, "as the recipe says"
    elif facts.has_discriminators:
        n_first, reason = 0, "the checkpoint brings trained ones"
    else:
        n_first = min(max(10, round(NEW_DISCRIMINATOR_SHARE * n_steps)), n_steps // 2)
        reason = "they are new: until they can judge, the generator waits"
    return n_first, Choice(choice="discriminators first", value=f"{n_first:,} steps", reason=reason)


def target_delay(given: Training, facts: Facts, n_steps: int) -> tuple[int, Choice]:
    """Which of its delay a vocoder keeps that learns in so many steps."""
    late, sure = facts.delay.n_samples, f"correlation {facts.delay.correlation:.2f}"
    if "target_delay_samples" in given.model_fields_set:
        n_samples, reason = given.target_delay_samples, "as the recipe says"
    elif not facts.delay.is_clear(facts.hop_samples):
        n_samples, reason = 0, f"no clear delay of the vocoder ({late:+d} samples, {sure})"
    elif n_steps >= LONG_RUN_STEPS:
        n_samples, reason = (
            0,
            f"the vocoder is {late:+d} samples late ({sure}); the run is long enough to unlearn it",
        )
    else:
        n_samples = late
        reason = f"the vocoder is {late:+d} samples late ({sure}); the run is too short to unlearn it"
    return n_samples, Choice(choice="target delay", value=f"{n_samples} samples", reason=reason)

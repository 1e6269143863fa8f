"""How a stage of TorToiSe is matched, where a recipe leaves it open: what its training plans, and more.

A match begins from a stage that works: a vocoder gets new discriminators and keeps its delay or unlearns it,
a decoder has nothing to wait for, and nobody takes the waiting of either for over-training.
"""

from typing import Any

from retimbre.matching import plan as vocoder_plan
from retimbre.matching.plan import Plan, discriminators_first, target_delay
from retimbre.recipe.training import Training
from retimbre.training.choice import Choice
from retimbre.training.tortoise_plan import Facts, plan_tortoise

LARGE = 50_000_000  # numbers of a decoder whose sampler takes a CPU a minute or so for an utterance
MOST_JUDGED, MOST_JUDGED_SLOWLY = 24, 8


def plan_decoder(given: Training, facts: Facts) -> Plan:
    """The training section of a decoder's match."""
    plan = plan_tortoise(given, facts)
    training, choices = plan.training, list(plan.choices)
    if "noise_from_step" in given.loss.model_fields_set:
        first, reason = given.loss.noise_from_step, "as the recipe says"
    else:
        first, reason = 0, "the decoder finds specs already: nothing has to be guessed first"
    loss = training.loss.model_copy(update={"noise_from_step": first})
    choices.append(Choice(choice="noise counts", value=f"from step {first:,}", reason=reason))
    return _patient(given, training, choices, n_waiting=first, loss=loss)


def plan_vocoder(given: Training, facts: Facts, vocoder: vocoder_plan.Facts) -> Plan:
    """The training section of a vocoder's match, on produced specs."""
    plan = plan_tortoise(given, facts)
    n_steps = plan.training.steps
    n_first, first = discriminators_first(given, vocoder, n_steps)
    n_samples, shift = target_delay(given, vocoder, n_steps)
    return _patient(
        given,
        plan.training,
        [*plan.choices, first, shift],
        n_waiting=n_first,
        spec_source="produced",
        discriminators_first_steps=n_first,
        target_delay_samples=n_samples,
    )


def n_judged(n_held_out: int, n_numbers: int, *, is_cpu: bool) -> tuple[int, Choice]:
    """How many held-out utterances are judged: so many on any machine of the kind.

    Args:
        n_numbers: Of the decoder whose sampler makes their specs.
    """
    is_slow = is_cpu and n_numbers >= LARGE
    n = min(n_held_out, MOST_JUDGED_SLOWLY if is_slow else MOST_JUDGED)
    if n == n_held_out:
        reason = "all that are held out"
    elif is_slow:
        reason = "a CPU takes a minute or so for each system's spec of one; six are enough for an interval"
    else:
        reason = "more would hardly make the intervals narrower"
    return n, Choice(choice="judged", value=f"{n} of {n_held_out}", reason=reason)


def _patient(
    given: Training,
    training: Training,
    choices: list[Choice],
    *,
    n_waiting: int,
    **update: Any,  # noqa: ANN401 (values of the section)
) -> Plan:
    """Patience begins when there is something to be patient about."""
    n_idle = -(-n_waiting // training.validate_every_steps)
    if n_idle and training.patience and "patience" not in given.model_fields_set:
        update["patience"] = training.patience + n_idle
        choices = [choice for choice in choices if choice.choice != "patience"]
        reason = f"validations without a better one end the run; the first {n_idle} cannot be better"
        choices.append(Choice(choice="patience", value=f"{update['patience']}", reason=reason))
    return Plan(training=training.model_copy(update=update), choices=tuple(choices))

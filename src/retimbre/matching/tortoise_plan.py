"""How a stage of TorToiSe is matched, where a recipe leaves it open: what its training plans, and more.

A vocoder that has learnt to answer late keeps its delay or unlearns it, and nobody takes for over-training
what cannot be better yet: a generator that waits for discriminators, a decoder whose noise does not count.
"""

from retimbre.matching import plan as vocoder_plan
from retimbre.matching.plan import Plan, target_delay
from retimbre.recipe.training import Training
from retimbre.training.choice import Choice
from retimbre.training.tortoise_plan import Facts, plan_tortoise

LARGE = 50_000_000  # numbers of a decoder whose sampler takes a CPU a minute or so for an utterance
MOST_JUDGED, MOST_JUDGED_SLOWLY = 24, 8


def plan_decoder(given: Training, facts: Facts) -> Plan:
    """The training section of a decoder's match."""
    plan = plan_tortoise(given, facts)
    return _patient(given, plan.training, plan.choices, n_waiting=plan.training.loss.noise_from_step)


def plan_vocoder(given: Training, facts: Facts, vocoder: vocoder_plan.Facts) -> Plan:
    """The training section of a vocoder's match, on produced specs."""
    plan = plan_tortoise(given, facts)
    n_samples, shift = target_delay(given, vocoder, plan.training.steps)
    training = plan.training.model_copy(update={"spec_source": "produced", "target_delay_samples": n_samples})
    n_first = training.discriminators_first_steps
    return _patient(given, training, (*plan.choices, shift), n_waiting=n_first)


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


def _patient(given: Training, training: Training, choices: tuple[Choice, ...], *, n_waiting: int) -> Plan:
    """Patience begins when there is something to be patient about."""
    n_idle = -(-n_waiting // training.validate_every_steps)
    if n_idle and training.patience and "patience" not in given.model_fields_set:
        training = training.model_copy(update={"patience": training.patience + n_idle})
        reason = f"validations without a better one end the run; the first {n_idle} cannot be better"
        patience = Choice(choice="patience", value=f"{training.patience}", reason=reason)
        choices = tuple(patience if each.choice == "patience" else each for each in choices)
    return Plan(training=training, choices=choices)

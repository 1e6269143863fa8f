"""How TorToiSe's stages learn, where a recipe leaves it open: rules, each with its source and its reason.

The rules are explained in docs/tuning-tortoise.md.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from retimbre.recipe.training import Lora, LossWeights, Optimiser, Training
from retimbre.training.choice import Choice

FEWEST_AT_ONCE = 8  # utterances per step: with fewer a step follows single utterances
STEPS_PER_PASS = 35  # 4,500 utterances in batches of 128, as in DL-Art-School's reported success
PASSES_AT_4500, PASSES_FALL = 14, 0.83  # through two reports: 14 passes over 4,500, 500 over 60
FEWEST_PASSES, MOST_PASSES = 3, 500
VALIDATIONS = 40  # of a whole run, at most
PATIENCE = 6  # validations
LORA_FACTOR = 10.0
KNOWN_FACTOR = 0.1  # of the rate of a new network, for one that is trained already
GUESS_SHARE = 0.1  # of a run of codes-to-spec, before the noise counts
JUDGES_SHARE = 0.1  # of a run of spec-to-wav, in which new discriminators learn alone
NEW_LANGUAGE_TEXT = 1.0
USABLE_SHARE = 0.85  # of the memory that is free: the rest is for what the others on the machine do
LARGE = 50_000_000  # numbers of a network that is worth learning in bfloat16
LEAST_BALANCED_SHARE = 3.0  # times what an equal share would be


@dataclass(frozen=True)
class StageRule:
    """What is known of a stage's training.

    Args:
        rate: Learning rate that was used with `batch` utterances at once.
        most: Utterances at once, at most.
        optimiser: Values of the recipe's section that go with it.
        source: Of all of these.
        segment: Frames of a training segment, and why; None: whole utterances.
    """

    rate: float
    batch: int
    most: int
    optimiser: Mapping[str, Any]
    source: str
    segment: tuple[int, str] | None = None


RULES: Mapping[str, StageRule] = {
    "text-to-codes": StageRule(
        1e-5,
        128,
        128,
        {"betas": (0.9, 0.96), "weight_decay": 0.01, "decays": "matrices", "clip_norm": 4.0},
        "DL-Art-School's example",
    ),
    "codes-to-spec": StageRule(
        1e-5,
        32,
        32,
        {"betas": (0.9, 0.999), "weight_decay": 1e-3, "clip_norm": 1.0},
        "DL-Art-School's example",
    ),
    "wav-to-codes": StageRule(
        5e-4,
        32,
        32,
        {"betas": (0.9, 0.99), "weight_decay": 0.01},
        "a new one of 3.3 M, in benchmarks/experiment_tortoise.py",
        (220, "a released code depends on 55 frames: in four times as many, most of them are whole"),
    ),
    "spec-to-wav": StageRule(
        1e-4,
        32,
        32,
        {"betas": (0.5, 0.9), "weight_decay": 0.01, "clip_norm": 10.0},
        "UnivNet's paper",
        (64, "16,384 samples, as UnivNet's trainers have it"),
    ),
}


@dataclass(frozen=True, kw_only=True)
class Speech:
    """What there is to learn from.

    Args:
        largest_share: Share of the utterances that the speaker with the most of them has.
        has_own_symbols: Its texts are read by another tokenizer than the released one: a new language.
    """

    n_utterances: int
    n_speakers: int = 1
    largest_share: float = 1.0
    has_own_symbols: bool = False


@dataclass(frozen=True, kw_only=True)
class Needs:
    """Memory of one way to train, in bytes.

    Args:
        fixed_bytes: Weights, gradients and what the optimiser keeps.
        per_utterance_bytes: What one of the longest utterances leaves behind for the backward pass.
    """

    fixed_bytes: int
    per_utterance_bytes: int

    def utterances_in(self, free_bytes: int) -> int:
        """How many go through the network at once; 0: not even one."""
        left = USABLE_SHARE * free_bytes - self.fixed_bytes
        return max(0, int(left // max(1, self.per_utterance_bytes)))


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What the plan is made from.

    Args:
        full: Of training all that moves; None where it is not known.
        small: Of training low-rank matrices instead.
        free_bytes: Of the device; None where nobody says.
        has_bfloat16: Does the device multiply such numbers faster than others?
        n_numbers: Of the network.
        has_discriminators: Of a vocoder: does its file bring trained ones?
        is_new: Does it begin with random weights?
    """

    stage: str
    speech: Speech
    full: Needs | None = None
    small: Needs | None = None
    free_bytes: int | None = None
    has_bfloat16: bool = False
    n_numbers: int = 0
    has_discriminators: bool = False
    is_new: bool = False


@dataclass
class _Open:
    """What the recipe says, and what is decided beside it."""

    given: Training
    choices: list[Choice] = field(default_factory=list)
    training: dict[str, Any] = field(default_factory=dict)
    optimiser: dict[str, Any] = field(default_factory=dict)
    loss: dict[str, Any] = field(default_factory=dict)

    def decide(self, choice: str, key: str, value: Any, reason: str, shown: str = "") -> Any:  # noqa: ANN401
        """The recipe's own value of `key`, or else `value`; either is noted with its reason."""
        section, _, name = key.rpartition(".")
        own, into = self._section(section)
        if name in own.model_fields_set:
            value, reason, shown = getattr(own, name), "as the recipe says", ""
        else:
            into[name] = value
        self.choices.append(Choice(choice=choice, value=shown or _shown(value), reason=reason))
        return value

    def decide_silently(self, section: str, values: Mapping[str, Any]) -> None:
        """Values that nobody asks about, where the recipe has none."""
        own, into = self._section(section)
        into.update({name: value for name, value in values.items() if name not in own.model_fields_set})

    def _section(self, name: str) -> tuple[Training | Optimiser | LossWeights, dict[str, Any]]:
        if name == "optimiser":
            return self.given.optimiser, self.optimiser
        if name == "loss":
            return self.given.loss, self.loss
        return self.given, self.training

    def planned(self) -> Training:
        """The section with everything decided."""
        nested = {
            "optimiser": self.given.optimiser.model_copy(update=self.optimiser),
            "loss": self.given.loss.model_copy(update=self.loss),
        }
        return self.given.model_copy(update={**self.training, **nested})


@dataclass(frozen=True, kw_only=True)
class TortoisePlan:
    """The training section of a run, and how it came about."""

    training: Training
    choices: tuple[Choice, ...]


def plan_tortoise(given: Training, facts: Facts) -> TortoisePlan:
    """Fill in what the recipe leaves open; what it says is kept."""
    rule, decisions = RULES[facts.stage], _Open(given)
    decisions.decide("numbers", "precision", *precision_for(facts.n_numbers, facts.has_bfloat16))
    lora = _method(decisions, facts)
    batch = _batch(decisions, facts.speech, rule)
    _parts(decisions, facts, batch, has_lora=lora is not None)
    decisions.decide_silently("optimiser", rule.optimiser)
    _rate(decisions, facts, rule, batch, has_lora=lora is not None)
    n_steps = _steps(decisions, facts.speech, batch)
    _begin(decisions, facts, rule, n_steps)
    _schedule(decisions, n_steps)
    _spacing(decisions, facts.speech, n_steps, batch)
    if facts.stage == "text-to-codes" and facts.speech.has_own_symbols:
        decisions.decide(
            "weight of the text",
            "loss.text",
            NEW_LANGUAGE_TEXT,
            "its symbols are not the released ones: they must be learnt first (mrq's tool does the same)",
        )
    return TortoisePlan(training=decisions.planned(), choices=tuple(decisions.choices))


def precision_for(n_numbers: int, has_bfloat16: bool) -> tuple[str, str]:
    """In which numbers a network of so many learns, and why."""
    if has_bfloat16 and n_numbers >= LARGE:
        return (
            "bf16-mixed",
            "this machine multiplies them about twice as fast; weights and averages stay float32",
        )
    return "32-true", "the network is small" if has_bfloat16 else "this machine has no faster ones"


def _method(decisions: _Open, facts: Facts) -> Lora | None:
    """All weights where they fit, low-rank matrices where they do not."""
    given = decisions.given
    if facts.small is None or facts.full is None:
        return given.lora
    is_said = "lora" in given.model_fields_set or given.moving or given.frozen
    if is_said or facts.free_bytes is None:
        kind = f"LoRA of rank {given.lora.rank}" if given.lora else "the weights themselves"
        reason = "as the recipe says" if is_said else "how much memory is free is not known"
        decisions.choices.append(Choice(choice="method", value=kind, reason=reason))
        return given.lora
    free = f"{facts.free_bytes / 1e9:.1f} GB are free"
    needed = f"all weights need {(facts.full.fixed_bytes + facts.full.per_utterance_bytes) / 1e9:.1f} GB"
    is_tight = facts.full.utterances_in(facts.free_bytes) < 1
    lora = Lora() if is_tight else None
    decisions.decide(
        "method",
        "lora",
        lora,
        f"{needed}, {free}",
        shown=f"LoRA of rank {lora.rank}" if lora else "all weights",
    )
    return lora


def _batch(decisions: _Open, speech: Speech, rule: StageRule) -> int:
    wanted = 2 ** round(math.log2(max(1.0, speech.n_utterances / STEPS_PER_PASS)))
    batch = min(max(wanted, FEWEST_AT_ONCE), rule.most, max(1, speech.n_utterances))
    reason = f"{speech.n_utterances:,} utterances: some {STEPS_PER_PASS} steps a pass, {FEWEST_AT_ONCE} to "
    return int(decisions.decide("batch", "batch_size", batch, f"{reason}{rule.most} utterances"))


def _parts(decisions: _Open, facts: Facts, batch: int, *, has_lora: bool) -> None:
    needs = facts.small if has_lora else facts.full
    if needs is None or facts.free_bytes is None:
        return
    at_once = max(1, needs.utterances_in(facts.free_bytes))
    parts = -(-batch // at_once)
    reason = (
        f"{at_once} of the longest utterances fit into {facts.free_bytes / 1e9:.1f} GB beside "
        f"{needs.fixed_bytes / 1e9:.1f} GB of weights and averages; only dropout draws otherwise"
    )
    decisions.decide("parts of a batch", "batch_parts", parts, reason)


def _rate(decisions: _Open, facts: Facts, rule: StageRule, batch: int, *, has_lora: bool) -> None:
    speech = facts.speech
    rate = rule.rate * math.sqrt(batch / rule.batch)
    reason = f"{rule.rate:g} at {rule.batch} utterances ({rule.source}), with the root of the batch"
    if facts.stage == "wav-to-codes" and not facts.is_new:
        rate *= KNOWN_FACTOR
        reason += "; a tenth, since this one is trained already"
    if has_lora:
        rate *= LORA_FACTOR
        reason += f"; times {LORA_FACTOR:g} for LoRA"
    if speech.n_speakers > 1 and speech.largest_share * speech.n_speakers > LEAST_BALANCED_SHARE:
        rate /= 2
        reason += (
            f"; halved: one of {speech.n_speakers} speakers has {speech.largest_share:.0%} of the "
            "utterances, and would pull the others along"
        )
    decisions.decide("learning rate", "optimiser.learning_rate", float(f"{rate:.2g}"), reason)


def _steps(decisions: _Open, speech: Speech, batch: int) -> int:
    passes = PASSES_AT_4500 * (max(1, speech.n_utterances) / 4500) ** -PASSES_FALL
    passes = min(max(passes, FEWEST_PASSES), MOST_PASSES)
    n_steps = max(1, math.ceil(passes * speech.n_utterances / batch))
    reason = f"{passes:.0f} passes at most; over-training stops it earlier"
    return int(decisions.decide("steps", "steps", n_steps, reason))


def _begin(decisions: _Open, facts: Facts, rule: StageRule, n_steps: int) -> None:
    """What is cut from utterances, and what waits for what at the beginning."""
    if rule.segment is not None:
        decisions.decide("segment", "segment_frames", *rule.segment)
    if facts.stage == "codes-to-spec":
        first = min(LossWeights().noise_from_step, round(GUESS_SHARE * n_steps))
        reason = "until then the first guess alone learns to read the latents, as in DL-Art-School's example"
        decisions.decide("noise from step", "loss.noise_from_step", first, reason)
    if facts.stage == "spec-to-wav":
        first = 0 if facts.has_discriminators else round(JUDGES_SHARE * n_steps)
        reason = "the file brings trained ones" if facts.has_discriminators else "they are new"
        decisions.decide("discriminators first", "discriminators_first_steps", first, reason)


def _schedule(decisions: _Open, n_steps: int) -> None:
    given = decisions.given.optimiser
    betas = decisions.optimiser.get("betas", given.betas)
    if "schedule" in given.model_fields_set:
        return
    warmup = max(1, min(round(2 / (1 - betas[1])), n_steps // 10))
    decisions.decide_silently("optimiser", {"schedule": "cosine"})
    decisions.decide(
        "warm-up",
        "optimiser.warmup_steps",
        warmup,
        f"2 / (1 - {betas[1]:g}) steps, a tenth of the run at most; then half a cosine down to a twentieth",
    )


def _spacing(decisions: _Open, speech: Speech, n_steps: int, batch: int) -> None:
    a_pass = -(-speech.n_utterances // batch)
    every = max(1, a_pass, -(-n_steps // VALIDATIONS))
    every = int(
        decisions.decide(
            "validation",
            "validate_every_steps",
            every,
            "once in a pass, but not over 40 times",
            f"every {every}",
        )
    )
    decisions.decide("patience", "patience", PATIENCE, "validations without a better one end the run")
    log = max(1, min(decisions.given.log_every_steps, n_steps // 20))
    decisions.decide_silently("", {"checkpoint_every_steps": every, "log_every_steps": log})


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return f"{value:,}" if isinstance(value, int) else str(value)

"""What the losses of all candidates say about heads and residual, and how surely."""

import json
import math
import shlex
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from retimbre.models.assumptions import OPTION
from retimbre.models.tortoise_ar.config import Residual

COUNTS_FROM = 0.01  # share of the loss of guessing: a smaller difference decides nothing
N_ERRORS = 2  # nor does one of fewer standard errors
MARGIN = 15


@dataclass(frozen=True, kw_only=True)
class Trial:
    """How well the network predicts the recording if it has this form.

    Args:
        heads: Of the transformer and of the blocks that read the voice.
        code_losses: Cross entropy of each code and of the stop, in nats.
        text_loss: Mean cross entropy of the text and its stops, for information.
    """

    heads: int
    residual: Residual
    code_losses: tuple[float, ...]
    text_loss: float

    @property
    def code_loss(self) -> float:
        """Their mean; infinite where one is no number."""
        mean = statistics.fmean(self.code_losses)
        return mean if math.isfinite(mean) else math.inf

    def __str__(self) -> str:
        return f"heads {self.heads}, residual {self.residual}"


@dataclass(frozen=True, kw_only=True)
class Probe:
    """All trials and what follows from them.

    The rule: guessing among the n rows of the table of codes costs log n for each code. One trial is better
    than another if their losses are at least 1 % of that apart, and at least two standard errors of their
    difference, taken code by code. Heads, or residual, are decided if the best trial of all is better than
    every one with another value. If it is not even better than guessing, the network does not know this
    speech, and nothing is decided.

    Args:
        network: The file of the autoregressive network.
        codebook: The file of the dVAE.
        n_codes: Of the recording, without the stop.
        n_symbols: Of the text, without start and stop.
        n_code_rows: What guessing chooses among.
        tried: Which of `heads` and `residual` have several values among the trials.
        stated: What the user says of the network.
        trials: The lowest loss of the codes first; there is at least one.
        notes: What a reader of the numbers should know.
    """

    network: Path
    codebook: Path
    recording: Path
    duration_s: float
    n_codes: int
    n_symbols: int
    n_code_rows: int
    tried: tuple[str, ...]
    trials: tuple[Trial, ...]
    stated: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def guessing(self) -> float:
        """The loss of who knows nothing, in nats for each code."""
        return math.log(self.n_code_rows)

    @property
    def margin(self) -> float:
        """The least difference that counts, in nats."""
        return COUNTS_FROM * self.guessing

    @property
    def knows(self) -> bool:
        """Does the network, in its best form, know anything of this speech?"""
        return self._is_beaten([self.guessing] * len(self.trials[0].code_losses))

    @property
    def decided(self) -> dict[str, Any]:
        """`heads` and `residual`, as far as they were found out."""
        decided = [name for name in self.tried if self.knows and not self._equals(name)]
        return {name: getattr(self.trials[0], name) for name in decided}

    @property
    def options(self) -> str:
        """What to write after other commands, so that they take the network for what it is."""
        settled = {**self.stated, **self.decided}
        words = [(OPTION, f"{name}={json.dumps(value)}") for name, value in settled.items()]
        return shlex.join(word for pair in words for word in pair) if self.decided else ""

    @property
    def verdict(self) -> str:
        """One sentence; what is undecided is called so."""
        best = self.trials[0]
        if not self.knows:
            return (
                f"this network does not know this speech at all: {best.code_loss:.3f} at best, while guessing"
                f" gives {self.guessing:.3f}; random weights, the dVAE of another network, or another text?"
            )
        if not self.tried:
            return f"{best}: {best.code_loss:.3f}; there was nothing to decide"
        undecided = [name for name in self.tried if name not in self.decided]
        if not undecided:
            return f"{best}: {best.code_loss:.3f}, next best {self.trials[1].code_loss:.3f}"
        parts = [f"{name} {value}" for name, value in self.decided.items()]
        parts += [f"{name} undecided ({self._rivals(name)})" for name in undecided]
        doubt = "the recording or the text may not be what this network knows"
        return f"{', '.join(parts)}: {doubt}, or it makes no difference here"

    def to_dict(self) -> dict[str, Any]:
        """Everything, as JSON knows it; an infinite loss is None."""
        return {
            "network": str(self.network),
            "codebook": str(self.codebook),
            "recording": str(self.recording),
            "duration_s": self.duration_s,
            "n_codes": self.n_codes,
            "n_symbols": self.n_symbols,
            "guessing": self.guessing,
            "margin": self.margin,
            "knows": self.knows,
            "trials": [
                {
                    "heads": trial.heads,
                    "residual": trial.residual,
                    "code_loss": _finite(trial.code_loss),
                    "text_loss": _finite(trial.text_loss),
                }
                for trial in self.trials
            ],
            "decided": self.decided,
            "undecided": [name for name in self.tried if name not in self.decided],
            "verdict": self.verdict,
            "options": self.options,
            "notes": list(self.notes),
        }

    def to_text(self) -> str:
        """The table, the verdict, and the options to paste."""
        heard = f"{self.duration_s:.2f} s as {self.n_codes:,} codes, {self.n_symbols:,} symbols of text"
        rule = (
            f"{self.guessing:.3f} a code; undecided is what lies less than {self.margin:.3f} (1 % of it) or "
            f"{N_ERRORS} standard errors apart"
        )
        rows = [("Probe", f"{self.network.name} on {self.recording.name}: {heard}")]
        rows += [("" if number else "Notes", note) for number, note in enumerate(self.notes)]
        rows += [("Guessing", rule), ("Trials", f"{'heads':>5}  {'residual':<11}  code loss  text loss")]
        rows += [
            ("", f"{one.heads:>5}  {one.residual:<11}  {one.code_loss:>9.3f}  {one.text_loss:>9.3f}")
            for one in self.trials
        ]
        rows.append(("Verdict", self.verdict))
        lines = [f"{title:<{MARGIN}}{text}" for title, text in rows]
        return "\n".join([*lines, self.options] if self.options else lines)

    def _equals(self, name: str) -> list[Trial]:
        """Trials with another value that the best is not clearly better than."""
        best = getattr(self.trials[0], name)
        others = [trial for trial in self.trials if getattr(trial, name) != best]
        return [trial for trial in others if not self._is_beaten(trial.code_losses)]

    def _is_beaten(self, code_losses: Sequence[float]) -> bool:
        """Is the best trial clearly better than one with these losses?"""
        best = self.trials[0]
        if not math.isfinite(best.code_loss):
            return False
        apart = [theirs - ours for ours, theirs in zip(best.code_losses, code_losses, strict=True)]
        if len(apart) < 2 or not all(map(math.isfinite, apart)):
            return len(apart) > 1  # what is no number is beaten by any
        error = statistics.stdev(apart) / math.sqrt(len(apart))
        return statistics.fmean(apart) >= max(self.margin, N_ERRORS * error)

    def _rivals(self, name: str) -> str:
        both = (self.trials[0], self._equals(name)[0])
        return " and ".join(f"{getattr(trial, name)}: {trial.code_loss:.3f}" for trial in both)


def _finite(loss: float) -> float | None:
    return loss if math.isfinite(loss) else None

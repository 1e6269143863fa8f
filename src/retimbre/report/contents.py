"""What a report is made of, before any page exists."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from retimbre.audio.mel import MelSpec
from retimbre.audio.waveform import Audio
from retimbre.evaluate.interval import Interval
from retimbre.evaluate.measures import Measure, Missing
from retimbre.evaluate.table import Scores
from retimbre.report.verdict import Verdict
from retimbre.training.choice import Choice

REAL_COLOUR = "#7a8594"
BASE_COLOUR = "#b0762a"
TUNED_COLOUR = "#8a5cc2"
CONTROL_COLOUR = "#2f86c9"
MATCHED_COLOUR = "#1b9a6c"


class Kind(StrEnum):
    """How an utterance got its timing; the two are never mixed in one table."""

    TEACHER_FORCED = "teacher-forced"
    FREE_RUNNING = "free running"


@dataclass(frozen=True, kw_only=True)
class System:
    """One of the compared: the recordings, or a set of models."""

    name: str
    description: str
    colour: str = REAL_COLOUR  # "#rrggbb"

    def __post_init__(self) -> None:
        if not re.fullmatch(r"#[0-9a-fA-F]{6}", self.colour):
            raise ValueError(f"colour ({self.colour!r}) is not of the form #rrggbb")


@dataclass(frozen=True, kw_only=True)
class Spoken:
    """One utterance, as each system says it."""

    name: str
    text: str
    kind: Kind
    audio: Mapping[str, Audio]  # by the name of the system; one may be missing

    @property
    def label(self) -> str:
        """Unlike the name, different for the two kinds."""
        return self.name if self.kind is Kind.TEACHER_FORCED else f"{self.name}--free-running"


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A difference that the report shows with its interval: system - against."""

    system: str
    against: str
    meaning: str = ""  # one sentence on what the difference tells

    @property
    def label(self) -> str:
        """As it is written in the page."""
        return f"{self.system} − {self.against}"


@dataclass(frozen=True, kw_only=True)
class Compared:
    """One comparison in one measure."""

    comparison: Comparison
    measure: Measure
    interval: Interval


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One number over the steps of a training."""

    name: str
    points: tuple[tuple[int, float], ...]  # (step, value)


@dataclass(frozen=True, kw_only=True)
class ReportData:
    """Everything in a report. Systems are shown in their order, the recordings first."""

    title: str
    verdict: Verdict
    mel: MelSpec  # of the pictures
    systems: tuple[System, ...]
    utterances: tuple[Spoken, ...] = ()
    scores: Mapping[Kind, Scores] = field(default_factory=dict)
    comparisons: tuple[Comparison, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    choices: tuple[Choice, ...] = ()
    curves: tuple[Curve, ...] = ()
    missing: tuple[Missing, ...] = ()
    pictured: tuple[str, str, str] = ("real", "tuned", "matched")  # real, unmatched, matched

    def __post_init__(self) -> None:
        names = [system.name for system in self.systems]
        known = set(names)
        if len(known) != len(names):
            raise ValueError(f"two systems have one name: {', '.join(names)}")
        labels = [spoken.label for spoken in self.utterances]
        if len(set(labels)) != len(labels):
            raise ValueError(f"two utterances of one kind have one name: {', '.join(labels)}")
        for spoken in self.utterances:
            if unknown := set(spoken.audio) - known:
                raise ValueError(
                    f"'{spoken.name}' has audio of unknown systems: {', '.join(sorted(unknown))}"
                )

    def compared(self, kind: Kind) -> tuple[Compared, ...]:
        """Every comparison whose two systems have scores, in every measure."""
        scores = self.scores.get(kind)
        if scores is None:
            return ()
        return tuple(
            Compared(
                comparison=comparison,
                measure=measure,
                interval=scores.interval(measure, comparison.system, comparison.against),
            )
            for comparison in self.comparisons
            if {comparison.system, comparison.against} <= set(scores.systems)
            for measure in scores.measures
        )

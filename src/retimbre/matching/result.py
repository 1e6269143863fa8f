"""What a matching run found, as a report."""

from collections.abc import Sequence
from dataclasses import dataclass

from retimbre.matching.judge import Comparison, Contestant
from retimbre.matching.misfit import Misfit
from retimbre.matching.plan import Plan
from retimbre.models.load import Loaded
from retimbre.report import contents
from retimbre.report.contents import Curve, Kind, ReportData, System
from retimbre.report.verdict import verdict_of
from retimbre.training.journal import read_journal
from retimbre.training.material import Material
from retimbre.training.run import Finished

REAL = System(name="real", description="The recordings.", colour=contents.REAL_COLOUR)
BASE = System(
    name="base", description="Both models as they came, before any tuning.", colour=contents.BASE_COLOUR
)
TUNED = System(
    name="tuned",
    description="The tuned text-to-spec model with the vocoder as it came: unmatched.",
    colour=contents.TUNED_COLOUR,
)
CONTROLLED = System(
    name="control",
    description="The tuned text-to-spec model with a vocoder trained as long on real specs of the voice.",
    colour=contents.CONTROL_COLOUR,
)
MATCHED = System(
    name="matched",
    description="The tuned text-to-spec model with a vocoder trained on what that model really produces.",
    colour=contents.MATCHED_COLOUR,
)
COMPARISONS = (
    contents.Comparison(system="matched", against="tuned", meaning="What the whole run gained."),
    contents.Comparison(
        system="matched",
        against="control",
        meaning="What of that is matching, not more training on the voice.",
    ),
    contents.Comparison(system="tuned", against="base", meaning="What tuning text-to-spec gained before."),
)


@dataclass(frozen=True, kw_only=True)
class ReportFacts:
    """What the report tells besides the comparison."""

    title: str
    material: Material
    misfit: Misfit
    plan: Plan
    runs: tuple[Finished, ...]  # matched, then control
    notes: tuple[str, ...]


def report_of(facts: ReportFacts, contestants: Sequence[Contestant], comparison: Comparison) -> ReportData:
    """Everything that the page and its JSON show."""
    names = {c.system.name for c in contestants}
    return ReportData(
        title=facts.title,
        verdict=verdict_of(comparison.scores),
        mel=facts.material.output_mel,
        systems=(REAL, *(c.system for c in contestants)),
        utterances=comparison.spoken,
        scores={Kind.TEACHER_FORCED: comparison.scores, Kind.FREE_RUNNING: comparison.free_scores},
        comparisons=tuple(c for c in COMPARISONS if {c.system, c.against} <= names),
        facts=_facts(facts, contestants, comparison),
        notes=facts.notes,
        choices=tuple(facts.plan.choices),
        curves=_curves(facts),
        missing=comparison.missing,
    )


def _facts(
    facts: ReportFacts, contestants: Sequence[Contestant], comparison: Comparison
) -> tuple[tuple[str, str], ...]:
    material, last = facts.material, contestants[-1]
    n_left_out = len(material.left_out)
    rows = [
        ("Text-to-spec", f"{last.text_to_spec.path.name}, {_millions(last.text_to_spec)}"),
        ("Vocoder", f"{contestants[0].vocoder.path.name}, {_millions(contestants[0].vocoder)}"),
        (
            "Recordings",
            f"{len(material.training)} utterances, {material.duration_s / 60:.1f} min, to train on; "
            f"{len(material.held_out)} held out; {n_left_out} left out",
        ),
        ("Held out", ", ".join(u.basename for u in material.held_out)),
        ("Misfit before", facts.misfit.sentence),
    ]
    for run in facts.runs:
        progress = run.progress
        rows.append(
            (
                f"Training on {'produced' if run is facts.runs[0] else 'real'} specs",
                f"{progress.step:,} steps in {progress.seconds / 60:.1f} min; kept the weights of step "
                f"{progress.best_step:,} (best perceptual score on validation: {progress.best_score:.3f})",
            )
        )
    late = ", ".join(f"{name} {n:+d}" for name, n in comparison.delays_samples.items())
    return (*rows, ("Delay taken out", f"{late} samples"))


def _millions(loaded: Loaded) -> str:
    return f"{sum(p.numel() for p in loaded.model.parameters()) / 1e6:.1f} M parameters"


def _curves(facts: ReportFacts) -> tuple[Curve, ...]:
    curves = []
    for run, name in zip(facts.runs, ("matched", "control")[: len(facts.runs)], strict=True):
        lines = read_journal(run.run, kind="validation")
        points = tuple((int(line["step"]), line["perceptual"]) for line in lines)
        curves.append(Curve(name=f"perceptual score, {name}", points=points))
    return tuple(curves)

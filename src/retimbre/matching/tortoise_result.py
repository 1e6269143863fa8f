"""What a match of TorToiSe's stages found, as a report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from retimbre.evaluate.measures import MCD, SPEC_ERROR, Measure
from retimbre.matching.misfit import Misfit
from retimbre.matching.plan import Plan
from retimbre.matching.tortoise_files import MatchFiles
from retimbre.matching.tortoise_judge import Comparison, Contestant
from retimbre.matching.tortoise_misfit import Drift, UnknownDrift
from retimbre.pipelines.tortoise_settings import Settings
from retimbre.recipe.recipe import Stage
from retimbre.report import contents
from retimbre.report.contents import Curve, Kind, ReportData, System
from retimbre.report.verdict import Control, verdict_of
from retimbre.training.journal import read_journal
from retimbre.training.run import Finished
from retimbre.training.tortoise_material import TortoiseMaterial

COLOURS: Mapping[str, str] = {
    "real": contents.REAL_COLOUR,
    "base": contents.BASE_COLOUR,
    "tuned": contents.TUNED_COLOUR,
    "control": contents.CONTROL_COLOUR,
    "matched": contents.MATCHED_COLOUR,
}


@dataclass(frozen=True, kw_only=True)
class Words:
    """What is said of the match of one stage.

    Args:
        what: Is matched.
        before: The stage that it is matched to.
        learns_on: What it learns on.
        control_on: What its control does.
        measure: Decides.
        score: What decides on validation utterances: its name in the journal, and for people.
    """

    what: str
    before: str
    learns_on: str
    control_on: str
    measure: Measure
    score: tuple[str, str]

    def system(self, name: str) -> System:
        """One of the compared."""
        what, before = self.what, f"The tuned {self.before}"
        said = {
            "real": "The recordings.",
            "base": "All stages as they came, before any tuning.",
            "tuned": f"{before} with the {what} as it came: unmatched.",
            "control": f"{before} with a {what} trained as long on {self.control_on}.",
            "matched": f"{before} with a {what} trained on {self.learns_on}.",
        }
        return System(name=name, description=said[name], colour=COLOURS[name])

    def comparisons(self) -> tuple[contents.Comparison, ...]:
        """Those that say something, if both took part."""
        of_control = "What of that is matching, not more training on the voice."
        of_tuning = f"What tuning {self.before} gained before."
        return (
            contents.Comparison(system="matched", against="tuned", meaning="What the whole run gained."),
            contents.Comparison(system="matched", against="control", meaning=of_control),
            contents.Comparison(system="tuned", against="base", meaning=of_tuning),
        )


WORDS: Mapping[Stage, Words] = {
    "codes-to-spec": Words(
        what="decoder",
        before="text-to-codes",
        learns_on="latents of the tuned text-to-codes",
        control_on="latents of the untuned text-to-codes",
        measure=SPEC_ERROR,
        score=("noise", "error of the noise"),
    ),
    "spec-to-wav": Words(
        what="vocoder",
        before="codes-to-spec",
        learns_on="produced specs",
        control_on="real specs",
        measure=MCD,
        score=("perceptual", "perceptual score"),
    ),
}


@dataclass(frozen=True, kw_only=True)
class ReportFacts:
    """What the report tells besides the comparison.

    Args:
        sampling: How specs were made that were judged.
        runs: Matched, then control.
    """

    title: str
    files: MatchFiles
    material: TortoiseMaterial
    misfit: Misfit | Drift | UnknownDrift
    plan: Plan
    sampling: Settings
    runs: tuple[Finished, ...]
    notes: tuple[str, ...]

    @property
    def words(self) -> Words:
        """Of the stage that is matched."""
        return WORDS[self.files.recipe.stage]


def report_of(facts: ReportFacts, contestants: Sequence[Contestant], comparison: Comparison) -> ReportData:
    """Everything that the page and its JSON show."""
    words, names = facts.words, {each.system.name for each in contestants}
    return ReportData(
        title=facts.title,
        verdict=verdict_of(
            comparison.scores,
            measure=words.measure,
            control=Control(learnt_on=words.control_on, kept=words.what),
        ),
        mel=contestants[0].vocoder.description.mel,
        systems=(words.system("real"), *(each.system for each in contestants)),
        utterances=comparison.spoken,
        scores={Kind.TEACHER_FORCED: comparison.scores},
        comparisons=tuple(each for each in words.comparisons() if {each.system, each.against} <= names),
        facts=_facts(facts, comparison),
        notes=facts.notes,
        choices=facts.plan.choices,
        curves=_curves(facts),
        missing=comparison.missing,
    )


def _facts(facts: ReportFacts, comparison: Comparison) -> tuple[tuple[str, str], ...]:
    material, files, sampling = facts.material, facts.files, facts.sampling
    rows: list[tuple[str, str]] = [(role, path.name) for role, path in files.training.paths.items()]
    if "spec-to-wav" not in files.training.paths:
        rows.append(("spec-to-wav", f"{files.vocoder.name}, to listen through"))
    rows += [(f"{role}, untuned", path.name) for role, path in files.untuned.items()]
    how = f"{sampling.sampler} in {sampling.n_steps} steps, guidance {sampling.guidance:g}"
    rows += [
        (
            "Recordings",
            f"{len(material.training)} utterances, {material.duration_s / 60:.1f} min, to train on; "
            f"{len(material.held_out)} held out; {len(material.left_out)} left out",
        ),
        ("Judged", ", ".join(comparison.scores.utterances)),
        ("Specs", f"at the true codes, {how}"),
        ("Misfit before", facts.misfit.sentence),
    ]
    rows += [_trained(facts, run, is_control=number > 0) for number, run in enumerate(facts.runs)]
    late = ", ".join(f"{name} {n:+d}" for name, n in comparison.delays_samples.items())
    return (*rows, ("Delay taken out", f"{late} samples"))


def _trained(facts: ReportFacts, run: Finished, *, is_control: bool) -> tuple[str, str]:
    words, progress = facts.words, run.progress
    kept = (
        f"kept the weights of step {progress.best_step:,}"
        if progress.best_step is not None
        else "kept nothing"
    )
    best = f" (best {words.score[1]} on validation: {progress.best_score:.3f})" if progress.best_score else ""
    took = f"{progress.step:,} steps in {progress.seconds / 60:.1f} min"
    return f"Training on {words.control_on if is_control else words.learns_on}", f"{took}; {kept}{best}"


def _curves(facts: ReportFacts) -> tuple[Curve, ...]:
    key, name = facts.words.score
    curves = []
    for run, system in zip(facts.runs, ("matched", "control")[: len(facts.runs)], strict=True):
        lines = read_journal(run.run, kind="validation")
        points = tuple((int(line["step"]), float(line[key])) for line in lines)
        curves.append(Curve(name=f"{name}, {system}", points=points))
    return tuple(curves)

"""The report compares only what took part, and tells how its numbers came about."""

import json

import numpy as np
import pytest

from retimbre.evaluate.measures import MCD
from retimbre.evaluate.table import scores
from retimbre.matching.judge import Comparison, Contestant
from retimbre.matching.misfit import Misfit
from retimbre.matching.plan import Plan
from retimbre.matching.result import BASE, CONTROLLED, MATCHED, TUNED, ReportFacts, report_of
from retimbre.recipe.training import Training
from retimbre.training.choice import Choice
from retimbre.training.objective import Progress
from retimbre.training.run import Finished


@pytest.fixture
def report(material, vocoder, tmp_path):
    """The report on some systems: report(TUNED, MATCHED)."""

    def make(*systems):
        runs = tuple(
            finished(tmp_path / name) for name in ("match", "control")[: 1 + (CONTROLLED in systems)]
        )
        contestants = [Contestant(system=s, text_to_spec=vocoder, vocoder=vocoder) for s in systems]
        draw = np.random.default_rng(0)
        found = {u.basename: {s.name: {"mcd": 5 + draw.random()} for s in systems} for u in material.held_out}
        comparison = Comparison(
            scores=scores([MCD], [s.name for s in systems], found),
            free_scores=scores([MCD], [s.name for s in systems], found),
            missing=(),
            spoken=(),
            delays_samples={s.name: 7 for s in systems},
        )
        facts = ReportFacts(
            title="A match",
            material=material,
            misfit=Misfit(spec_distance=0.4, mcd_on_real_db=4.0, mcd_on_produced_db=6.0),
            plan=Plan(training=Training(), choices=(Choice(choice="steps", value="9", reason="enough"),)),
            runs=runs,
            notes=("a note",),
        )
        return report_of(facts, contestants, comparison)

    return make


def finished(run):
    run.mkdir()
    lines = [
        {"step": 0, "kind": "validation", "score": 9.5, "perceptual": 9.5},
        {"step": 4, "kind": "training", "generator/mel": 30.0},
        {"step": 9, "kind": "validation", "score": 8.25, "perceptual": 8.25},
    ]
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return Finished(
        run=run, progress=Progress(step=9, best_score=8.25, best_step=9, seconds=90.0), was_interrupted=False
    )


def pairs(report):
    return [(compared.system, compared.against) for compared in report.comparisons]


def test_everything_that_took_part_is_compared(report):
    found = report(BASE, TUNED, CONTROLLED, MATCHED)

    assert [system.name for system in found.systems] == ["real", "base", "tuned", "control", "matched"]
    assert pairs(found) == [("matched", "tuned"), ("matched", "control"), ("tuned", "base")]
    assert [curve.name for curve in found.curves] == [
        "perceptual score, matched",
        "perceptual score, control",
    ]


def test_what_did_not_take_part_is_not_compared(report):
    found = report(TUNED, MATCHED)

    assert pairs(found) == [("matched", "tuned")]
    assert len(found.curves) == 1


def test_curves_show_the_validations(report):
    (curve,) = report(TUNED, MATCHED).curves

    assert curve.points == ((0, 9.5), (9, 8.25))


def test_facts_and_choices_tell_how_the_numbers_came_about(report):
    found = report(TUNED, CONTROLLED, MATCHED)
    facts = dict(found.facts)

    assert facts["Held out"] == "u3, u4, u5"
    assert "3 held out" in facts["Recordings"]
    assert "loses 2.0 dB" in facts["Misfit before"]
    assert "9 steps in 1.5 min; kept the weights of step 9" in facts["Training on produced specs"]
    assert "Training on real specs" in facts
    assert "matched +7" in facts["Delay taken out"]
    assert [(choice.choice, choice.value) for choice in found.choices] == [("steps", "9")]
    assert found.notes == ("a note",)

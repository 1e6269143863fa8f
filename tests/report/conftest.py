"""A small report of synthetic speech."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from retimbre.audio.mel import mel_librosa
from retimbre.audio.waveform import Audio
from retimbre.evaluate.measures import MCD, VOICING_ERROR
from retimbre.evaluate.table import scores
from retimbre.report.contents import Comparison, Kind, ReportData, Spoken, System
from retimbre.report.verdict import verdict_of

RATE_HZ = 22050
SYSTEMS = ("real", "tuned", "control", "matched")


@pytest.fixture
def tone() -> Callable[..., Audio]:
    """A tone with a little noise."""

    def make(*, seed=0, n_samples=6007, gain=0.1) -> Audio:
        generator = np.random.default_rng(seed)
        samples = gain * np.sin(0.05 * np.arange(n_samples)) + 0.01 * generator.standard_normal(n_samples)
        return Audio(samples=torch.from_numpy(samples).float(), sample_rate_hz=RATE_HZ)

    return make


@pytest.fixture
def report(tone) -> Callable[..., ReportData]:
    """Eight teacher-forced utterances of four systems and one free-running; any field can be replaced."""
    generator = np.random.default_rng(0)
    found = {
        f"u{i}": {
            "tuned": {"mcd": 7 + generator.random(), "voicing_error": 5 + generator.random()},
            "control": {"mcd": 6 + generator.random() / 4, "voicing_error": 5 + generator.random()},
            "matched": {"mcd": 5 + generator.random() / 4},
        }
        for i in range(8)
    }
    table = scores([MCD, VOICING_ERROR], ["tuned", "control", "matched"], found)

    def make(**replaced) -> ReportData:
        spoken = [
            Spoken(
                name=name,
                text=f"Sentence {name}.",
                kind=Kind.TEACHER_FORCED,
                audio={system: tone(seed=i) for i, system in enumerate(SYSTEMS)},
            )
            for name in ("u0", "u1")
        ]
        free = Spoken(
            name="u0", text="Freely.", kind=Kind.FREE_RUNNING, audio={"matched": tone(n_samples=9001)}
        )
        values = {
            "title": "A small report",
            "verdict": verdict_of(table),
            "mel": mel_librosa(),
            "systems": tuple(System(name=name, description=f"what {name} is") for name in SYSTEMS),
            "utterances": (*spoken, free),
            "scores": {Kind.TEACHER_FORCED: table},
            "comparisons": (
                Comparison(system="matched", against="tuned"),
                Comparison(system="matched", against="control"),
            ),
        }
        return ReportData(**(values | replaced))

    return make

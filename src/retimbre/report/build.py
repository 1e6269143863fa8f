"""Write a report: one page that opens offline, the same numbers as JSON, and the audio as WAV files."""

import math
import os
from pathlib import Path
from typing import Any

from retimbre.checkpoint.write import write_json
from retimbre.evaluate.sanity import Levels, levels
from retimbre.report.contents import Kind, ReportData
from retimbre.report.listening import HeardLevels
from retimbre.report.page import page
from retimbre.report.sound import safe_names, save_wav

FORMAT = "retimbre-report-1"


def build_report(report: ReportData, folder: Path) -> Path:
    """Write report.html, report.json and audio/<utterance>/<system>.wav into `folder`; the page's path.

    Audio that holds no numbers or no samples is named in the page and in the JSON, and not written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    found = {
        (spoken.label, system): levels(audio)
        for spoken in report.utterances
        for system, audio in spoken.audio.items()
    }
    paths = _write_audio(report, folder, found)
    write_json(folder / "report.json", _as_json(report, found, paths))
    return _write_text(folder / "report.html", page(report, found))


def _write_audio(report: ReportData, folder: Path, found: HeardLevels) -> dict[tuple[str, str], str]:
    """Paths relative to the folder, by (label of the utterance, system)."""
    utterances = safe_names(spoken.label for spoken in report.utterances)
    systems = safe_names(system.name for system in report.systems)
    return {
        (spoken.label, system): save_wav(
            audio, folder, utterance=utterances[spoken.label], system=systems[system]
        )
        .relative_to(folder)
        .as_posix()
        for spoken in report.utterances
        for system, audio in spoken.audio.items()
        if found[spoken.label, system].is_playable
    }


def _as_json(report: ReportData, found: HeardLevels, paths: dict[tuple[str, str], str]) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "title": report.title,
        "verdict": {
            "outcome": report.verdict.outcome.value,
            "sentence": report.verdict.sentence,
            "details": list(report.verdict.details),
        },
        "notes": list(report.notes),
        "facts": [{"label": label, "value": value} for label, value in report.facts],
        "systems": [{"name": system.name, "description": system.description} for system in report.systems],
        "results": {kind.value: _results(report, kind) for kind in Kind if kind in report.scores},
        "utterances": [
            {
                "name": spoken.name,
                "text": spoken.text,
                "kind": spoken.kind.value,
                "audio": {
                    system: {
                        "file": paths.get((spoken.label, system)),
                        "duration_s": audio.duration_s,
                        **_levels(found[spoken.label, system]),
                    }
                    for system, audio in spoken.audio.items()
                },
            }
            for spoken in report.utterances
        ],
        "choices": [
            {"choice": choice.choice, "value": choice.value, "reason": choice.reason}
            for choice in report.choices
        ],
        "curves": [
            {"name": curve.name, "points": [[step, _number(value)] for step, value in curve.points]}
            for curve in report.curves
        ],
        "missing": [{"name": missing.name, "reason": missing.reason} for missing in report.missing],
    }


def _results(report: ReportData, kind: Kind) -> dict[str, Any]:
    scores = report.scores[kind]
    means = {
        measure.key: {system: _number(scores.mean(measure, system)) for system in scores.systems}
        for measure in scores.measures
    }
    differences = [
        {
            "system": compared.comparison.system,
            "against": compared.comparison.against,
            "measure": compared.measure.key,
            **compared.interval.to_dict(),
        }
        for compared in report.compared(kind)
    ]
    return {"means": means, "differences": differences, "scores": scores.to_dict()}


def _levels(found: Levels) -> dict[str, Any]:
    return {
        "peak_db": _number(found.peak_db),
        "rms_db": _number(found.rms_db),
        "clipped_share": found.clipped_share,
        "is_clipped": found.is_clipped,
        "is_silent": found.is_silent,
        "n_not_finite": found.n_not_finite,
    }


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _write_text(path: Path, text: str) -> Path:
    """Beside, then renamed: nobody ever sees half a page."""
    beside = path.with_name(f".{path.name}.part")
    beside.write_text(text, encoding="utf-8")
    os.replace(beside, path)
    return path

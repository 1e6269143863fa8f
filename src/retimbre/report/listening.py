"""The players: one utterance in all versions, switched at the same moment, with pictures below."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from retimbre.audio.mel import log_mel
from retimbre.errors import AudioError
from retimbre.evaluate.analysis import AUDIBLE_RANGE_DB, DB_PER_NEPER
from retimbre.evaluate.sanity import Levels
from retimbre.evaluate.spectral import in_nepers
from retimbre.report.contents import Kind, ReportData, Spoken, System
from retimbre.report.markup import Content, Html, joined, tag
from retimbre.report.melody import melody_svg
from retimbre.report.numbers import direction, number
from retimbre.report.picture import difference_uri, spectrogram_uri
from retimbre.report.sound import data_uri
from retimbre.report.tables import named, table

MOST_DIFFERENCE_DB = 20.0  # where the colours of a difference are full

N_SHOWN = 4  # players before the rest is folded away, so that the numbers below are not far

HeardLevels = Mapping[tuple[str, str], Levels]  # by (label of the utterance, system)


def players(report: ReportData, kind: Kind, levels: HeardLevels) -> Html:
    """A player for each utterance of one kind; all but the first ones folded."""
    found = [
        _player(report, spoken, levels, f"{kind.name.lower()}-{position}")
        for position, spoken in enumerate(report.utterances)
        if spoken.kind is kind
    ]
    rest = found[N_SHOWN:]
    folded = tag("details", tag("summary", f"{len(rest)} more"), *rest, class_="more") if rest else None
    return joined(*found[:N_SHOWN], folded)


def _player(report: ReportData, spoken: Spoken, levels: HeardLevels, group: str) -> Html:
    versions = [
        _version(report, spoken, position, group)
        for position, system in enumerate(report.systems)
        if system.name in spoken.audio and levels[spoken.label, system.name].is_playable
    ]
    warnings = [
        tag("p", tag("b", system.name), f" {problem}", class_="warning")
        for system in report.systems
        if system.name in spoken.audio and (problem := _problem(levels[spoken.label, system.name]))
    ]
    return tag(
        "article",
        tag("p", spoken.text, class_="text"),
        _transport(),
        tag("div", *versions, class_="versions", role="radiogroup", aria_label="version"),
        *warnings,
        _more(report, spoken),
        class_="player",
    )


def _transport() -> Html:
    """Only a script can use it, so a script shows it."""
    seek = tag("input", type="range", class_="seek", min="0", max="1000", value="0", aria_label="position")
    repeat = tag("label", tag("input", type="checkbox", class_="repeat"), "repeat", class_="repeat-label")
    play = tag("button", "Play", type="button", class_="play")
    return tag("div", play, seek, tag("span", class_="clock"), repeat, class_="transport", hidden=True)


def _version(report: ReportData, spoken: Spoken, position: int, group: str) -> Html:
    """A button to choose it, and the browser's own player for where no script may run."""
    system = report.systems[position]
    choice = tag("input", type="radio", name=group, value=str(position))
    label = tag(
        "label",
        choice,
        tag("span", named(system, position), class_="name"),
        tag("span", class_="letter"),
        _short_score(report, spoken, system),
        title=system.description,
    )
    sound = tag("audio", controls=True, preload="none", src=data_uri(spoken.audio[system.name]))
    return tag("div", label, sound, class_=f"version system-{position}")


def _short_score(report: ReportData, spoken: Spoken, system: System) -> Content:
    """The value of the first measure, for this utterance."""
    scores = report.scores.get(spoken.kind)
    if scores is None or spoken.name not in scores.utterances or system.name not in scores.systems:
        return None
    measure = scores.measures[0]
    value = float(scores.of(measure, system.name)[scores.utterances.index(spoken.name)])
    if np.isnan(value):
        return None
    text = f"{number(value, measure.n_decimals)} {measure.unit} {direction(measure)}"
    return tag("span", text, class_="score", title=measure.name)


def _problem(levels: Levels) -> str | None:
    if not levels.n_samples:
        return "has no audio"
    if levels.n_not_finite:
        return f"cannot be played: {levels.n_not_finite} samples are not numbers"
    if levels.is_silent:
        return "is silent"
    if levels.is_clipped:
        return f"is clipped: {100 * levels.clipped_share:.2g} % of its samples are cut at full scale"
    return None


def _more(report: ReportData, spoken: Spoken) -> Html:
    pictures, numbers = _pictures(report, spoken), _utterance_table(report, spoken)
    if not pictures and not numbers:
        return Html("")
    return tag("details", tag("summary", "Pictures and numbers"), pictures, numbers)


def _utterance_table(report: ReportData, spoken: Spoken) -> Html:
    scores = report.scores.get(spoken.kind)
    if scores is None or spoken.name not in scores.utterances:
        return Html("")
    at = scores.utterances.index(spoken.name)
    shown = [(i, system) for i, system in enumerate(report.systems) if system.name in scores.systems]
    rows: list[list[Content]] = [
        [
            joined(measure.name, " ", tag("span", f"{measure.unit} {direction(measure)}", class_="unit")),
            *(number(float(scores.of(measure, system.name)[at]), measure.n_decimals) for _, system in shown),
        ]
        for measure in scores.measures
    ]
    return table([spoken.name, *(named(system, i) for i, system in shown)], rows, style="numbers means")


def _pictures(report: ReportData, spoken: Spoken) -> Html:
    """Spectrograms of the pictured systems, and what the models changed of the recording."""
    specs = {name: spec for name in report.pictured if (spec := _spec(report, spoken, name)) is not None}
    if not specs:
        return Html("")
    high = max(float(spec.max()) for spec in specs.values())
    low = high - AUDIBLE_RANGE_DB / DB_PER_NEPER
    drawn = [_figure(spectrogram_uri(spec, low=low, high=high), name) for name, spec in specs.items()]
    caption = f"From 0 dB (light) to −{AUDIBLE_RANGE_DB:.0f} dB (dark); low frequencies at the bottom."
    real, *models = report.pictured
    if spoken.kind is Kind.TEACHER_FORCED and real in specs:
        drawn += [
            _difference_figure(specs[name], specs[real], low, name, real) for name in models if name in specs
        ]
        caption += f" Differences: red is {MOST_DIFFERENCE_DB:.0f} dB or more too loud, blue too soft."
    return joined(
        tag("div", *drawn, class_="pictures"), tag("p", caption, class_="quiet"), _melody(report, spoken)
    )


def _melody(report: ReportData, spoken: Spoken) -> Html:
    """Pitch curves of the pictured systems on top of each other."""
    audio = {
        position: spoken.audio[system.name]
        for position, system in enumerate(report.systems)
        if system.name in report.pictured and system.name in spoken.audio
    }
    drawn = melody_svg(audio, report.mel)
    if not drawn:
        return drawn
    names = [joined(named(report.systems[position], position), " ") for position in audio]
    return tag("figure", drawn, tag("figcaption", "Pitch: ", *names))


def _difference_figure(
    spec: Float[np.ndarray, "mels frames"],
    real: Float[np.ndarray, "mels real_frames"],
    low: float,
    name: str,
    real_name: str,
) -> Html:
    n_frames = min(spec.shape[1], real.shape[1])
    difference = np.maximum(spec[:, :n_frames], low) - np.maximum(real[:, :n_frames], low)
    return _figure(
        difference_uri(difference, most=MOST_DIFFERENCE_DB / DB_PER_NEPER), f"{name} − {real_name}"
    )


def _figure(uri: str, title: str) -> Html:
    return tag("figure", tag("img", src=uri, alt=f"spectrogram: {title}"), tag("figcaption", title))


def _spec(report: ReportData, spoken: Spoken, name: str) -> Float[np.ndarray, "mels frames"] | None:
    audio = spoken.audio.get(name)
    if (
        audio is None
        or audio.sample_rate_hz != report.mel.sample_rate_hz
        or not audio.samples.isfinite().all()
    ):
        return None
    try:
        spec = log_mel(audio.samples.detach().cpu().float(), in_nepers(report.mel))
    except AudioError:  # too short for one frame: nothing to draw
        return None
    return np.asarray(spec.numpy())

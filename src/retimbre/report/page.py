"""The page: its sections in order, and a policy that forbids everything the page does not bring along."""

import base64
import hashlib
from collections.abc import Sequence
from importlib.resources import files

from retimbre.report.contents import Kind, ReportData
from retimbre.report.drawing import curve_svg
from retimbre.report.listening import HeardLevels, players
from retimbre.report.markup import Content, Html, joined, tag
from retimbre.report.tables import levels_table, named, scores_section, table

HOW_TO_READ = {
    Kind.TEACHER_FORCED: (
        "The models speak with the lengths of the recording, so every version fits it frame by frame: "
        "this is what the vocoder trains on, and where versions can be compared with numbers."
    ),
    Kind.FREE_RUNNING: (
        "The models choose all lengths themselves, as in use. There is no recording to compare frame by "
        "frame: what is measured are the words, the voice, and the spectrum after time warping."
    ),
}
HINT = "A version goes on at the moment where the other stopped. Audio in this page is lossless."
KEYS = "Keys: space plays, 1 to 9 choose a version."
SMALL_PRINT = (
    "Intervals are 95 % bootstrap intervals over utterances (each system judged on the same ones). They say "
    "what other utterances of this voice would show, not what another training run would. The same numbers "
    "are in report.json; every version is a WAV file in the folder audio."
)


def page(report: ReportData, levels: HeardLevels) -> str:
    """The whole HTML document."""
    style, script = Html(_file("page.css") + _colours(report)), Html(_file("page.js"))
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_policy(style, script)),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", report.title),
        tag("style", style),
    )
    body = tag("body", tag("main", *_sections(report, levels)), tag("script", script))
    return f"<!DOCTYPE html>\n{tag('html', head, body, lang='en')}\n"


def _sections(report: ReportData, levels: HeardLevels) -> list[Html]:
    return [
        tag("h1", report.title),
        _verdict(report),
        _facts(report.facts),
        *(_kind_section(report, kind, levels) for kind in Kind),
        _section("Levels", levels_table(report, levels)),
        _section("What was decided, and why", _choices(report)),
        _section("Training", _curves(report)),
        _section("Not measured", _missing(report)),
        tag("footer", tag("p", SMALL_PRINT)),
    ]


def _section(title: str, *contents: Content) -> Html:
    """Nothing at all, if there is nothing to show."""
    inside = joined(*contents)
    return tag("section", tag("h2", title), inside) if inside else Html("")


def _verdict(report: ReportData) -> Html:
    found = report.verdict
    sentence = tag("p", found.sentence, class_="sentence")
    details = [tag("p", detail) for detail in found.details]
    box = tag("div", sentence, *details, class_=f"verdict {found.outcome.value.replace(' ', '-')}")
    notes = tag("ul", *(tag("li", note) for note in report.notes), class_="notes") if report.notes else None
    return joined(box, notes)


def _facts(facts: Sequence[tuple[str, str]]) -> Html:
    if not facts:
        return Html("")
    pairs = [tag("div", tag("dt", label), tag("dd", value)) for label, value in facts]
    return tag("dl", *pairs, class_="facts")


def _kind_section(report: ReportData, kind: Kind, levels: HeardLevels) -> Html:
    heard, scored = players(report, kind, levels), scores_section(report, kind)
    if not heard and not scored:
        return Html("")
    title = f"Listen: {kind.value}" if heard else f"Measured: {kind.value}"
    is_first = kind is next(iter(Kind)) or not any(spoken.kind is not kind for spoken in report.utterances)
    intro = joined(_legend(report), _tools()) if heard and is_first else None
    return _section(title, tag("p", HOW_TO_READ[kind], class_="quiet"), intro, heard, scored)


def _legend(report: ReportData) -> Html:
    rows = [
        joined(tag("dt", named(system, position)), tag("dd", system.description))
        for position, system in enumerate(report.systems)
    ]
    return tag("dl", *rows, class_="legend")


def _tools() -> Html:
    blind = tag(
        "button", "Listen blind", type="button", class_="blind-switch", aria_pressed="false", hidden=True
    )
    return tag(
        "div", blind, tag("span", HINT, " ", tag("span", KEYS, class_="keys"), class_="quiet"), class_="tools"
    )


def _choices(report: ReportData) -> Html:
    if not report.choices:
        return Html("")
    rows: list[list[Content]] = [[choice.choice, choice.value, choice.reason] for choice in report.choices]
    return table(["choice", "value", "reason"], rows, style="choices")


def _curves(report: ReportData) -> Html:
    if not report.curves:
        return Html("")
    drawn = [tag("figure", tag("figcaption", curve.name), curve_svg(curve)) for curve in report.curves]
    return tag("div", *drawn, class_="curves")


def _missing(report: ReportData) -> Html:
    if not report.missing:
        return Html("")
    return tag(
        "ul", *(tag("li", tag("b", missing.name), f": {missing.reason}") for missing in report.missing)
    )


def _colours(report: ReportData) -> str:
    rules = (f".system-{i} {{ --colour: {system.colour}; }}" for i, system in enumerate(report.systems))
    return "\n".join(rules) + "\n"


def _policy(style: str, script: str) -> str:
    """Even if some text were taken for markup, it could load and run nothing."""
    return (
        "default-src 'none'; img-src data:; media-src data: blob:; base-uri 'none'; form-action 'none'; "
        f"style-src '{_digest(style)}'; script-src '{_digest(script)}'"
    )


def _digest(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")
    return f"sha256-{digest}"


def _file(name: str) -> str:
    return (files("retimbre.report") / name).read_text(encoding="utf-8")

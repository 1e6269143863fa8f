"""A TextGrid for Praat: phones and words with their times, and beside each a tier for annotations."""

from collections.abc import Iterator, Sequence

from retimbre.audio.mel import MelSpec
from retimbre.pipelines.timing import Span, Times, seconds


def textgrid(times: Times, mel: MelSpec) -> str:
    """The text of the file, with the tiers of EveryVoice.

    What lasts no frame is left out: Praat knows no interval without a length.
    """
    tiers = [("phones", times.symbols), ("words", times.words)]
    end = _time(times.n_frames, mel)
    lines = [
        'File type = "ooTextFile"',
        'Object class = "TextGrid"',
        "",
        f"xmin = {0:f}",
        f"xmax = {end}",
        "tiers? <exists>",
        f"size = {2 * len(tiers)}",
        "item []:",
    ]
    for number, (name, spans) in enumerate(tiers):
        shown = [span for span in spans if span.end > span.start]
        blank = [Span(start=span.start, end=span.end, label="") for span in shown]
        lines += _tier(2 * number + 1, name, shown, end, mel)
        lines += _tier(2 * number + 2, f"{name.removesuffix('s')} annotations", blank, end, mel)
    return "\n".join(lines) + "\n"


def _tier(number: int, name: str, spans: Sequence[Span], end: str, mel: MelSpec) -> Iterator[str]:
    yield f"    item [{number}]:"
    yield '        class = "IntervalTier"'
    yield f'        name = "{name}"'
    yield f"        xmin = {0:f}"
    yield f"        xmax = {end}"
    yield f"        intervals: size = {len(spans)}"
    for place, span in enumerate(spans, start=1):
        label = span.label.replace('"', '""')
        yield f"        intervals [{place}]:"
        yield f"            xmin = {_time(span.start, mel)}"
        yield f"            xmax = {_time(span.end, mel)}"
        yield f'            text = "{label}"'


def _time(frame: int, mel: MelSpec) -> str:
    return f"{seconds(frame, mel):f}"

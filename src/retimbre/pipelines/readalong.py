"""A ReadAlong: the words of a text with their times, as XML for the ReadAlongs tools (https://readalongs.org)."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from xml.sax.saxutils import escape, quoteattr

from retimbre import __version__
from retimbre.audio.mel import MelSpec
from retimbre.pipelines.timing import Times, seconds

NOT_IN_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
SENTENCE = "t0b0d0p0s0"  # text 0, body 0, division 0, paragraph 0, sentence 0


@dataclass(frozen=True, kw_only=True)
class TimedWord:
    """A word, when it begins and how long it lasts."""

    text: str
    start_s: float
    duration_s: float


def timed_words(times: Times, mel: MelSpec) -> tuple[TimedWord, ...]:
    """The words in seconds."""
    return tuple(
        TimedWord(
            text=NOT_IN_XML.sub("\ufffd", word.label),
            start_s=seconds(word.start, mel),
            duration_s=seconds(word.end - word.start, mel),
        )
        for word in times.words
    )


def readalong_xml(times: Times, mel: MelSpec, *, language: str) -> str:
    """The text of a `.readalong` file: one sentence, as EveryVoice writes it."""
    words = " ".join(_elements(times, mel))
    return f"""<?xml version='1.0' encoding='utf-8'?>
<read-along version="1.2">
    <meta name="generator" content="retimbre {__version__}" id="meta0"/>
    <text xml:lang={quoteattr(language)} fallback-langs="" id="t0">
        <body id="t0b0">
            <div type="page" id="t0b0d0">
                <p id="t0b0d0p0">
                    <s id="{SENTENCE}">{words}</s>
                </p>
            </div>
        </body>
    </text>
</read-along>
"""


def _elements(times: Times, mel: MelSpec) -> Iterator[str]:
    for number, word in enumerate(timed_words(times, mel)):
        place = f'time="{word.start_s:.6f}" dur="{word.duration_s:.6f}" id="{SENTENCE}w{number}"'
        yield f"<w {place}>{escape(word.text)}</w>"

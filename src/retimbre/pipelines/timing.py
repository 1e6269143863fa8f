"""When each symbol and each word of a spoken text begins and ends, from the durations that were used."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce

from jaxtyping import Int
from torch import Tensor

from retimbre.audio.mel import MelSpec
from retimbre.pipelines.pieces import Piece, spoken_words


@dataclass(frozen=True, kw_only=True)
class Span:
    """A symbol or a word, and its frames: `start` is the first one, `end` the first one after it."""

    start: int
    end: int
    label: str


@dataclass(frozen=True, kw_only=True)
class Times:
    """All symbols and words of a text, without gaps between them."""

    symbols: tuple[Span, ...] = ()
    words: tuple[Span, ...] = ()
    n_frames: int = 0

    def then(self, other: "Times") -> "Times":
        """What is spoken after this."""
        return Times(
            symbols=self.symbols + _moved(other.symbols, self.n_frames),
            words=self.words + _moved(other.words, self.n_frames),
            n_frames=self.n_frames + other.n_frames,
        )


def times_of(piece: Piece, durations: Int[Tensor, "symbols"]) -> Times:
    """Of one piece; durations are in frames."""
    frames: list[int] = durations.tolist()
    symbols = _after_each_other(piece.symbols, frames)
    ends, spoken = [], 0
    for of_word in spoken_words(piece.symbols):
        spoken += len(of_word)
        ends.append(sum(frames[:spoken]))
    words, n_done, start = [], 0, 0
    for word in piece.words:
        n_done += word.n_spoken
        end = ends[n_done - 1]
        words.append(Span(start=start, end=end, label=word.label))
        start = end
    return Times(symbols=symbols, words=tuple(words), n_frames=sum(frames))


def joined(times: Iterable[Times]) -> Times:
    """Of all pieces of a text, one after the other."""
    return reduce(Times.then, times, Times())


def seconds(n_frames: int, mel: MelSpec) -> float:
    """How long so many frames sound."""
    return n_frames * mel.hop_samples / mel.sample_rate_hz


def _after_each_other(labels: Sequence[str], frames: Sequence[int]) -> tuple[Span, ...]:
    spans, start = [], 0
    for label, n_frames in zip(labels, frames, strict=True):
        spans.append(Span(start=start, end=start + n_frames, label=label))
        start += n_frames
    return tuple(spans)


def _moved(spans: Iterable[Span], by: int) -> tuple[Span, ...]:
    return tuple(Span(start=span.start + by, end=span.end + by, label=span.label) for span in spans)

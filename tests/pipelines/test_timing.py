"""Times of symbols and words follow from the durations, also over several pieces."""

from itertools import pairwise

import torch
from hypothesis import given
from hypothesis import strategies as st

from retimbre.audio.mel import mel_librosa
from retimbre.pipelines.pieces import Piece, Word
from retimbre.pipelines.timing import joined, seconds, times_of

FRAMES = st.lists(st.integers(0, 9), min_size=5, max_size=5)


def piece(text, *words):
    symbols = tuple(text)
    labels = tuple(Word(label=word) for word in words or text.split())
    return Piece(ids=tuple(range(len(symbols))), symbols=symbols, words=labels)


def spans(found):
    return [(span.start, span.end, span.label) for span in found]


def test_a_word_lasts_as_long_as_its_symbols_and_the_space_after_them():
    times = times_of(piece("ab c", "Ab", "C!"), torch.tensor([2, 3, 1, 4]))

    assert spans(times.symbols) == [(0, 2, "a"), (2, 5, "b"), (5, 6, " "), (6, 10, "c")]
    assert spans(times.words) == [(0, 6, "Ab"), (6, 10, "C!")]
    assert times.n_frames == 10


def test_a_number_lasts_as_long_as_the_words_that_it_is_spoken_as():
    symbols = tuple("a b c")
    both = Piece(ids=(1, 2, 3, 4, 5), symbols=symbols, words=(Word(label="21", n_spoken=2), Word(label="c")))

    assert spans(times_of(both, torch.tensor([1, 1, 1, 1, 5])).words) == [(0, 4, "21"), (4, 9, "c")]


def test_times_of_pieces_follow_each_other():
    first, second = times_of(piece("a"), torch.tensor([3])), times_of(piece("b"), torch.tensor([4]))

    times = joined([first, second])

    assert spans(times.words) == [(0, 3, "a"), (3, 7, "b")]
    assert times.n_frames == 7


@given(durations=st.lists(FRAMES, min_size=1, max_size=4))
def test_there_are_no_gaps_and_the_ends_are_those_of_the_text(durations):
    times = joined(times_of(piece("ab cd"), torch.tensor(frames)) for frames in durations)

    for found in (times.symbols, times.words):
        assert found[0].start == 0
        assert found[-1].end == times.n_frames == sum(map(sum, durations))
        assert all(a.end == b.start for a, b in pairwise(found))


def test_a_frame_sounds_as_long_as_its_hop():
    assert seconds(22050, mel_librosa()) == 256.0

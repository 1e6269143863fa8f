"""Utterances become batches in which each of them ends where it ends."""

import pytest
import torch

from retimbre.errors import DataError
from retimbre.models.tortoise_ar.batch import CodesItem, collate


def item(symbols, codes, n_clips=2):
    return CodesItem(
        symbols=torch.tensor(symbols, dtype=torch.int64),
        codes=torch.tensor(codes, dtype=torch.int64),
        clips=torch.randn(n_clips, 80, 5),
    )


def test_texts_and_sounds_are_framed_at_their_own_ends(tiny):
    (batch,) = collate([item([3, 4], [5, 6, 7]), item([8, 9, 1], [2])], config=tiny.config)

    start, stop, end = tiny.config.start_symbol, tiny.config.stop_symbol, 0
    assert batch.symbols.tolist() == [[start, 3, 4, end, stop, stop], [start, 8, 9, 1, end, stop]]
    assert batch.codes.tolist() == [[18, 5, 6, 7], [18, 2, 19, 19]]
    assert (batch.n_symbols, batch.n_codes) == ((2, 3), (3, 1))
    assert (batch.n_symbols_in_all, batch.n_codes_in_all) == (3 + 4, 4 + 2)  # what follows the last, too


def test_parts_share_the_counts_of_the_whole_and_hold_similar_lengths(tiny):
    items = [item([1] * n, [2] * n) for n in (7, 2, 5, 1, 6)]

    parts = collate(items, config=tiny.config, n_parts=2)

    assert [part.n_codes for part in parts] == [(1, 2), (5, 6, 7)]
    assert {part.n_codes_in_all for part in parts} == {21 + 5}
    assert len(collate(items, config=tiny.config, n_parts=9)) == 5  # no part is empty


def test_a_batch_moves_as_a_whole(tiny):
    (batch,) = collate([item([3, 4], [5, 6, 7])], config=tiny.config)

    moved = batch.to("meta")

    assert moved.symbols.is_meta
    assert moved.codes.is_meta
    assert moved.clips.is_meta
    assert moved.n_codes == (3,)


@pytest.mark.parametrize(
    ("bad", "named"),
    [
        (dict(symbols=[], codes=[1]), "symbols"),
        (dict(symbols=[1], codes=[]), "codes"),
        (dict(symbols=[1], codes=[1], n_clips=0), "recordings"),
    ],
)
def test_an_utterance_that_lacks_something_is_refused(tiny, bad, named):
    with pytest.raises(DataError, match=f"found no {named}"):
        collate([item([3, 4], [5, 6, 7]), item(**bad)], config=tiny.config)
    with pytest.raises(DataError, match="at least one utterance"):
        collate([], config=tiny.config)

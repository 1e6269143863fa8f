"""Segments keep frames and codes together, and what does not belong together is refused."""

import pytest
import torch

from retimbre.errors import DataError
from retimbre.models.tortoise_dvae.batch import DvaeItem, collate, compared_frames, cut, n_starts
from retimbre.models.tortoise_dvae.config import DvaeConfig

CONFIG = DvaeConfig(n_mels=3, n_codes=50, codebook_dim=4, dim=2, n_resblocks=1)


def coded(n_frames):
    """A recording whose every code is the number of the first frame that it stands for."""
    spec = torch.arange(n_frames).float().expand(3, -1)
    return DvaeItem(spec=spec, codes=torch.arange(0, n_frames, 4))


@pytest.mark.parametrize("n_frames", [4, 6, 12, 13])
@pytest.mark.parametrize("length", [13, 16, 30, 31])
def test_a_segment_with_codes_begins_where_one_of_them_does(n_frames, length):
    item = coded(length)
    for place in range(n_starts(item, n_frames, CONFIG)):
        segment = cut(item, 4 * place, n_frames, CONFIG)
        assert segment.spec[0].tolist() == list(range(4 * place, min(4 * place + n_frames, length)))
        assert segment.codes.tolist() == list(range(4 * place, 4 * place + segment.n_frames, 4))


def test_a_segment_without_codes_begins_anywhere():
    item = DvaeItem(spec=torch.randn(3, 20))

    assert n_starts(item, 8, CONFIG) == 13
    assert cut(item, 12, 8, CONFIG).spec.equal(item.spec[:, 12:])
    assert n_starts(item, 20, CONFIG) == n_starts(item, 90, CONFIG) == 1


def test_padding_is_zero_and_the_counts_are_those_of_the_whole_batch():
    first, second = collate([coded(13), coded(6), coded(9)], CONFIG, n_parts=2)

    assert first.n_frames.tolist() == [13, 6]
    assert first.spec.shape == (2, 3, 13)
    assert not first.spec[1, :, 6:].any()
    assert first.codes.tolist() == [[0, 4, 8, 12], [0, 4, 0, 0]]
    assert second.spec.shape == (1, 3, 9)
    assert {(part.n_compared_in_all, part.n_codes_in_all) for part in (first, second)} == {(28, 9)}


def test_frames_that_the_codes_do_not_give_back_are_not_compared():
    even = DvaeConfig(n_mels=3, n_codes=50, codebook_dim=4, dim=2, n_resblocks=1, kernel=4)

    assert [compared_frames(even, n) for n in (8, 20)] == [5, 17]
    assert compared_frames(even, torch.tensor([8, 20])).tolist() == [5, 17]
    assert [compared_frames(CONFIG, n) for n in (8, 21)] == [8, 21]


@pytest.mark.parametrize(
    ("some", "message"),
    [
        ([], "at least one utterance"),
        ([DvaeItem(spec=torch.randn(3, 9), codes=torch.tensor([1, 2]))], "expected 3 codes for 9 frames"),
        ([coded(8), DvaeItem(spec=torch.randn(3, 8))], "all or none"),
        ([DvaeItem(spec=torch.randn(3, 0))], "too short for a single code"),
    ],
)
def test_what_makes_no_batch_is_refused(some, message):
    with pytest.raises(DataError, match=message):
        collate(some, CONFIG)

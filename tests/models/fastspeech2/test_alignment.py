import pytest
import torch

from retimbre.errors import DataError
from retimbre.models.fastspeech2.alignment import SHARPNESS, ConvAttention
from retimbre.models.fastspeech2.paths import log_prior


def test_the_score_is_minus_the_squared_distance():
    torch.manual_seed(0)
    attention = ConvAttention(dim=6, n_mels=5, attention_dim=4)
    embedded, spec = torch.randn(2, 3, 6), torch.randn(2, 9, 5)
    keys, queries = attention.key_proj(embedded), attention.query_proj(spec)
    distance = (queries.unsqueeze(2) - keys.unsqueeze(1)).square().sum(-1)
    expected = (-SHARPNESS * distance).log_softmax(-1) + log_prior([9, 9], [3, 3], n_padded=(9, 3))

    alignment = attention(embedded, torch.tensor([3, 3]), spec, torch.tensor([9, 9]))

    torch.testing.assert_close(alignment.log_prob, expected, atol=1e-5, rtol=1e-5)


def test_durations_fill_the_spec_and_leave_no_symbol_out():
    torch.manual_seed(0)
    attention = ConvAttention(dim=6, n_mels=5, attention_dim=4)
    n_symbols, n_frames = torch.tensor([3, 7, 1]), torch.tensor([3, 13, 5])

    timing = attention(torch.randn(3, 7, 6), n_symbols, torch.randn(3, 13, 5), n_frames).timing

    assert timing.durations.sum(1).tolist() == n_frames.tolist()
    for durations, n in zip(timing.durations, n_symbols, strict=True):
        assert durations[:n].ge(1).all()
        assert durations[n:].eq(0).all()


def test_what_lies_in_padding_never_changes_an_alignment():
    torch.manual_seed(0)
    attention = ConvAttention(dim=6, n_mels=5, attention_dim=4)
    embedded, spec = torch.randn(1, 7, 6), torch.randn(1, 19, 5)
    lengths = torch.tensor([4]), torch.tensor([11])

    alone = attention(embedded[:, :4], lengths[0], spec[:, :11], lengths[1])
    padded = attention(embedded * 3, lengths[0], spec * 3, lengths[1])
    in_a_batch = attention(embedded, lengths[0], spec, lengths[1])

    assert not padded.log_prob[:, :11, :4].equal(alone.log_prob)
    torch.testing.assert_close(in_a_batch.log_prob[:, :11, :4], alone.log_prob)
    torch.testing.assert_close(in_a_batch.log_soft[:, :11, :4], alone.log_soft)
    assert in_a_batch.timing.durations[:, :4].equal(alone.timing.durations)


def test_fewer_frames_than_symbols_are_refused():
    attention = ConvAttention(dim=6, n_mels=5, attention_dim=4)

    with pytest.raises(DataError, match="utterance 1 of the batch is too short.*at least 7 frames.*found 6"):
        attention(torch.randn(2, 7, 6), torch.tensor([3, 7]), torch.randn(2, 9, 5), torch.tensor([9, 6]))

import torch

from retimbre.models.fastspeech2.timing import Timing


def test_each_symbol_lasts_as_long_as_its_duration():
    timing = Timing.from_durations(torch.tensor([[2, 0, 3], [1, 1, 0]]))

    assert timing.n_frames.tolist() == [5, 2]
    assert timing.symbol_of_frame[0].tolist() == [0, 0, 2, 2, 2]
    assert timing.symbol_of_frame[1, :2].tolist() == [0, 1]
    assert timing.is_frame.sum(1).tolist() == [5, 2]


def test_stretching_repeats_symbols():
    torch.manual_seed(0)
    durations = torch.tensor([[2, 0, 3], [1, 1, 0]])
    x = torch.randn(2, 3, 4)
    timing = Timing.from_durations(durations, n_frames_padded=7)

    frames = timing.stretch(x)

    assert frames.shape == (2, 7, 4)
    for row, stretched, lasting in zip(x, frames, durations, strict=True):
        assert stretched[: lasting.sum()].equal(row.repeat_interleave(lasting, 0))


def test_means_are_taken_over_the_frames_of_each_symbol():
    values = torch.tensor([[1.0, 3.0, -1.0, -2.0, 5.0], [4.0, 2.0, 9.0, 9.0, 9.0]])
    timing = Timing.from_durations(torch.tensor([[2, 0, 3], [1, 1, 0]]))

    means = timing.mean_per_symbol(values)

    torch.testing.assert_close(means, torch.tensor([[2.0, 0.0, 2 / 3], [4.0, 2.0, 0.0]]))


def test_a_zero_does_not_count():
    timing = Timing.from_durations(torch.tensor([[3, 2]]))

    means = timing.mean_per_symbol(torch.tensor([[0.0, 2.0, 4.0, 0.0, 0.0]]))

    assert means.tolist() == [[3.0, 0.0]]

"""What counts as a difference, and what is only a matter of rounding."""

from math import log

import pytest
import torch

from retimbre.pipelines.onnx_difference import Measured

REAL = torch.tensor([[True, True, True]])


def log_of(*frames: float) -> torch.Tensor:
    return torch.tensor([[log(1 + n) for n in frames]])


def test_a_difference_is_a_share_of_the_largest_value():
    measured = Measured()
    measured.add("spec", torch.tensor([1.0, -4.0]), torch.tensor([1.0, -4.0 + 2e-4]))
    measured.add("spec", torch.tensor([8.0]), torch.tensor([8.0]))

    (output,) = measured.result().outputs

    assert output.largest == pytest.approx(2e-4, rel=1e-2)
    assert output.share == pytest.approx(2e-4 / 8, rel=1e-2)
    assert output.is_small
    assert measured.result().is_small


@pytest.mark.parametrize(
    "theirs",
    [[1.0, float("nan")], [1.0, float("inf")], [1.0], [1.0, 2.1]],
    ids=["nan", "inf", "short", "far"],
)
def test_what_is_no_number_or_has_another_shape_is_never_small(theirs):
    measured = Measured()
    measured.add("waveform", torch.tensor(theirs), torch.tensor([1.0, 2.0]))

    assert not measured.result().is_small


def test_a_network_that_gives_no_numbers_is_never_small():
    measured, broken = Measured(), torch.tensor([float("nan")])
    measured.add("waveform", broken, broken)

    assert not measured.result().is_small


def test_a_duration_at_half_a_frame_may_be_rounded_either_way():
    measured, ours = Measured(), torch.tensor([[2, 4, 7]])
    measured.add_durations(torch.tensor([[3, 4, 7]]), ours, log_of(2.49997, 4.2, 7.0), REAL)

    result = measured.result()

    assert (result.n_durations, result.n_on_the_edge, result.n_wrong) == (3, 1, 0)
    assert result.is_small


def test_another_duration_is_wrong():
    measured, ours = Measured(), torch.tensor([[2, 4, 7]])
    measured.add_durations(torch.tensor([[3, 4, 7]]), ours, log_of(2.49, 4.2, 7.0), REAL)

    assert measured.result().n_wrong == 1
    assert not measured.result().is_small
    assert "of 3, 1 differ" in measured.result().to_text()

import pytest
import torch
from torch import nn

from retimbre.nn.conv import ConvOverTime


@pytest.mark.parametrize(("dim_out", "kernel", "groups"), [(6, 3, 1), (4, 9, 4), (6, 1, 1), (8, 5, 2)])
@pytest.mark.parametrize("n_times", [1, 2, 13])
def test_it_gives_what_conv1d_gives(dim_out, kernel, groups, n_times):
    torch.manual_seed(0)
    ours = ConvOverTime(4, dim_out, kernel, groups=groups)
    theirs = nn.Conv1d(4, dim_out, kernel, padding=kernel // 2, groups=groups)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(3, n_times, 4)

    torch.testing.assert_close(ours(x), theirs(x.transpose(1, 2)).transpose(1, 2), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(("kernel", "dilation"), [(3, 1), (3, 27), (5, 4)])
def test_a_dilated_one_gives_what_conv1d_gives(kernel, dilation):
    torch.manual_seed(0)
    ours = ConvOverTime(4, 6, kernel, dilation=dilation)
    theirs = nn.Conv1d(4, 6, kernel, padding=dilation * (kernel // 2), dilation=dilation)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(3, 13, 4)

    torch.testing.assert_close(ours(x), theirs(x.transpose(1, 2)).transpose(1, 2), atol=1e-6, rtol=1e-5)

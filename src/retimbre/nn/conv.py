"""Convolution over time with channels last.

Axes used in this file:
    batch  utterances
    times  frames or symbols, padded
    dim    channels (dim_in, dim_out)
"""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional


class ConvOverTime(nn.Conv1d):
    """Conv1d with channels last, giving as many frames as it reads; the ends are continued with zeros.

    The tensors are those of `nn.Conv1d`. Channels never move in memory, which is faster on a CPU.
    """

    def __init__(
        self, dim_in: int, dim_out: int, kernel: int = 1, *, groups: int = 1, dilation: int = 1
    ) -> None:
        padding = dilation * (kernel // 2)
        super().__init__(dim_in, dim_out, kernel, padding=padding, groups=groups, dilation=dilation)

    def forward(self, x: Float[Tensor, "batch times dim_in"]) -> Float[Tensor, "batch times dim_out"]:
        (kernel,), (dilation,) = self.kernel_size, self.dilation
        if kernel == 1:
            return functional.linear(x, self.weight.squeeze(-1), self.bias)
        # A transposed view with a unit axis has the strides of a channels-last image, which is what is fast.
        image, weight = x.transpose(1, 2).unsqueeze(2), self.weight.unsqueeze(2)
        y = functional.conv2d(
            image,
            weight,
            self.bias,
            padding=(0, dilation * (kernel // 2)),
            dilation=(1, dilation),
            groups=self.groups,
        )
        return y.squeeze(2).transpose(1, 2)

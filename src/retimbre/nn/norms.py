"""Normalisation that does not see padding.

Axes used in this file:
    batch  utterances
    times  frames or symbols, padded
    dim    channels
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn


class MaskedBatchNorm1d(nn.BatchNorm1d):
    """BatchNorm1d, channels last, whose statistics are those of real frames only; same tensors."""

    def forward(  # type: ignore[override]
        self, x: Float[Tensor, "batch times dim"], is_real: Bool[Tensor, "batch times"]
    ) -> Float[Tensor, "batch times dim"]:
        """Normalise by the batch's own mean and variance in training, by the running ones otherwise."""
        # Sums over thousands of frames need more digits than bfloat16 has.
        with torch.autocast(x.device.type, enabled=False):
            wide = x.float()
            mean, variance = self._measure(wide, is_real) if self.training else self.remembered()
            scale = torch.rsqrt(variance + self.eps) * self.weight
            return torch.addcmul(self.bias - mean * scale, wide, scale).to(x.dtype)

    def remembered(self) -> tuple[Float[Tensor, "dim"], Float[Tensor, "dim"]]:
        """The running mean and variance."""
        if self.running_mean is None or self.running_var is None:
            raise RuntimeError("a batch norm without running statistics cannot be used outside training")
        return self.running_mean, self.running_var

    def _measure(
        self, x: Float[Tensor, "batch times dim"], is_real: Bool[Tensor, "batch times"]
    ) -> tuple[Float[Tensor, "dim"], Float[Tensor, "dim"]]:
        weight = is_real.to(x.dtype).flatten()
        n_real = weight.sum()
        frames = x.flatten(0, 1)
        mean = weight @ frames / n_real
        variance = weight @ (frames - mean).square() / n_real
        self._remember(mean.detach(), variance.detach(), n_real)
        return mean, variance

    @torch.no_grad()
    def _remember(
        self, mean: Float[Tensor, "dim"], variance: Float[Tensor, "dim"], n_real: Float[Tensor, ""]
    ) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        momentum = 1.0 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        unbiased = variance * (n_real / (n_real - 1).clamp(min=1))
        self.running_mean.lerp_(mean, momentum)
        self.running_var.lerp_(unbiased, momentum)

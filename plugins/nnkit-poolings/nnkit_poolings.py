"""Four global poolings: generalised mean, log-sum-exp, attention, and max beside mean."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class Gem(nn.Module):
    """The generalised mean of each channel, (mean of x^p)^(1/p): (B, C, H, W) to (B, C).

    `p` is at least 1: 1 is the mean, and the larger, the nearer to the maximum. With `learn` it is one
    trainable parameter. Values below `eps`, a positive number, count as `eps`: a power needs positive ones.
    Radenović, Tolias, Chum (2018), "Fine-tuning CNN image retrieval with no human annotation".
    """

    def __init__(self, *, p: float = 3.0, learn: bool = False, eps: float = 1e-6) -> None:
        super().__init__()
        if not (math.isfinite(p) and p >= 1):
            raise ValueError(f"p is {p}, it must be at least 1")
        if not (math.isfinite(eps) and eps > 0):
            raise ValueError(f"eps is {eps}, it must be above 0")
        self.p = nn.Parameter(torch.tensor(float(p)), requires_grad=learn)
        self.eps = eps

    def forward(self, inputs: Tensor, mask: Tensor | None = None) -> Tensor:
        """Pool over all pixels, or over those where `mask`, bool (B, 1, H, W), is true."""
        if mask is None:
            return inputs.clamp(min=self.eps).pow(self.p).mean((2, 3)).pow(1 / self.p)
        powers = inputs.masked_fill(~mask, 0).clamp(min=self.eps).pow(self.p).masked_fill(~mask, 0)
        return (powers.sum((2, 3)) / mask.sum((2, 3))).pow(1 / self.p)


class LogSumExp(nn.Module):
    """The smooth maximum of each channel, log(mean of exp(r·x)) / r: (B, C, H, W) to (B, C).

    `r` is a positive number: towards 0 it gives the mean, and the larger, the nearer to the maximum.
    Pinheiro, Collobert (2015), "From image-level to pixel-level labeling with convolutional networks".
    """

    def __init__(self, *, r: float = 5.0) -> None:
        super().__init__()
        if not (math.isfinite(r) and r > 0):
            raise ValueError(f"r is {r}, it must be above 0")
        self.r = r

    def forward(self, inputs: Tensor, mask: Tensor | None = None) -> Tensor:
        """Pool over all pixels, or over those where `mask`, bool (B, 1, H, W), is true."""
        if mask is None:
            num_pixels: float | Tensor = inputs.shape[2] * inputs.shape[3]
            return ((self.r * inputs).logsumexp((2, 3)) - math.log(num_pixels)) / self.r
        scaled = (self.r * inputs).masked_fill(~mask, -math.inf)
        return (scaled.logsumexp((2, 3)) - mask.sum((2, 3)).log()) / self.r


class Attention(nn.Module):
    """A mean weighted by how strongly a pixel answers: (B, C, H, W) to (B, C), with one trainable number.

    Each pixel's logit is the mean over its channels times a learned scale; softmax over the pixels weighs
    them, alike for all channels. At `scale=0` it starts as the plain mean.
    """

    def __init__(self, *, scale: float = 1.0) -> None:
        super().__init__()
        if not math.isfinite(scale):
            raise ValueError(f"scale is {scale}, it must be a finite number")
        self.scale = nn.Parameter(torch.tensor(float(scale)))

    def forward(self, inputs: Tensor, mask: Tensor | None = None) -> Tensor:
        """Pool over all pixels, or over those where `mask`, bool (B, 1, H, W), is true."""
        if mask is not None:
            inputs = inputs.masked_fill(~mask, 0)
        logits = self.scale * inputs.mean(1, keepdim=True)
        if mask is not None:
            logits = logits.masked_fill(~mask, -math.inf)
        weights = logits.flatten(2).softmax(2)
        return (inputs.flatten(2) * weights).sum(2)


class MaxAvg(nn.Module):
    """The maxima of all channels, then their means: (B, C, H, W) to (B, 2C)."""

    def num_features(self, num_channels: int) -> int:
        """Two for each channel."""
        return 2 * num_channels

    def forward(self, inputs: Tensor, mask: Tensor | None = None) -> Tensor:
        """Pool over all pixels, or over those where `mask`, bool (B, 1, H, W), is true."""
        if mask is None:
            return torch.cat([inputs.amax((2, 3)), inputs.mean((2, 3))], 1)
        largest = inputs.masked_fill(~mask, -math.inf).amax((2, 3))
        return torch.cat([largest, inputs.masked_fill(~mask, 0).sum((2, 3)) / mask.sum((2, 3))], 1)

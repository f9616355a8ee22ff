"""The focal loss: cross-entropy in which what is already right counts little."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor, nn


class Focal(nn.Module):
    """The mean over a batch of (1 - p)^gamma · (-log p), p being the probability of the true class.

    Logits (B, K) and class indices (B,) to a scalar. `gamma` is at least 0; at 0 it is cross-entropy. Lin et
    al. (2017), "Focal loss for dense object detection", without its class weights.
    """

    task = "classification"

    def __init__(self, *, gamma: float = 2.0) -> None:
        super().__init__()
        if not (math.isfinite(gamma) and gamma >= 0):
            raise ValueError(f"gamma is {gamma}, it must be 0 or more")
        self.gamma = gamma

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        """The loss of a batch."""
        log_p = F.log_softmax(output, 1).gather(1, target[:, None])[:, 0]
        # At p = 1 a power with gamma below 1 has an infinite slope: keep off it by less than float32 shows.
        miss = (-log_p.expm1()).clamp(min=1e-12)
        return -(miss.pow(self.gamma) * log_p).mean()

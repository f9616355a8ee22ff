"""Muon as its paper's page writes it, one weight at a time; AdamW for what is no matrix."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn, optim


class Muon:
    """`param_groups[0]["lr"]` is the rate of the matrices; that of the others keeps its ratio to it."""

    def __init__(
        self,
        params: Iterable[nn.Parameter],
        *,
        lr: float,
        momentum: float = 0.95,
        weight_decay: float = 0.01,
        adam_lr: float | None = None,
        betas: tuple[float, float] = (0.9, 0.999),
    ) -> None:
        params = list(params)
        self.param_groups: list[dict[str, Any]] = [{"lr": lr}]
        self.ratio = 0.05 if adam_lr is None else adam_lr / lr
        self.momentum, self.weight_decay = momentum, weight_decay
        self.means = {p: torch.zeros_like(p) for p in params if p.ndim > 1}
        self.adamw = optim.AdamW(
            [p for p in params if p.ndim <= 1], betas=betas, weight_decay=weight_decay, foreach=False
        )

    def zero_grad(self) -> None:
        """Forget all gradients."""
        self.adamw.zero_grad()
        for parameter in self.means:
            parameter.grad = None

    def step(self, closure: Callable[[], Tensor]) -> Tensor:
        """One step; the loss before it."""
        value, lr = closure(), self.param_groups[0]["lr"]
        self.adamw.param_groups[0]["lr"] = lr * self.ratio
        self.adamw.step()
        with torch.no_grad():
            for parameter, mean in self.means.items():
                assert parameter.grad is not None
                mean.copy_(self.momentum * mean + (1 - self.momentum) * parameter.grad)
                ahead = (self.momentum * mean + (1 - self.momentum) * parameter.grad).reshape(len(mean), -1)
                scale = math.sqrt(max(1, ahead.shape[0] / ahead.shape[1]))
                step = scale * newton_schulz(ahead).reshape(parameter.shape)
                parameter.copy_(parameter - lr * self.weight_decay * parameter - lr * step)
        return value


def newton_schulz(matrix: Tensor) -> Tensor:
    """Five times a X + b (X Xᵀ) X + c (X Xᵀ)² X, from X of norm 1: a polynomial of the singular values."""
    u, s, v = torch.linalg.svd(matrix, full_matrices=False)
    s = s / max(1e-7, float(matrix.norm()))
    for _ in range(5):
        s = 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5
    product: Tensor = u @ s.diag() @ v
    return product

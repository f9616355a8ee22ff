"""muon: steps along the momentum with all its singular values near 1, for matrices and kernels."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, optim
from torch.optim.adamw import adamw

from nnkit.optimizers._settings import BelowOne, NotNegative, Rate, can_fuse

ADAM_SHARE = 0.05
NUM_ITERATIONS, COEFFICIENTS = 5, (3.4445, -4.7750, 2.0315)
SMALLEST_NORM = 1e-7


class Muon(optim.Optimizer):
    """Muon (Jordan et al., 2024) for weights of two dimensions or more, AdamW for all others.

    Each step of Muon goes along the momentum, by Nesterov's look-ahead, orthogonalised by five Newton-Schulz
    iterations; a convolution's kernel counts as the matrix (out_channels, in_channels · height · width). A
    matrix with more rows than columns goes √(rows / columns) as far. AdamW steps biases and what norms learn.

    `lr` is the learning rate of Muon. `adam_lr` is that of AdamW, by default a 20th of `lr`. A
    schedule changes both by the same factor. `momentum` is the decay of Muon's running mean of the gradients.
    `betas` are the decays of AdamW's running means of the gradients and of their squares. `weight_decay` is
    the share of the weights, times their learning rate, that each step takes away.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        *,
        lr: Rate = 0.02,
        momentum: BelowOne = 0.95,
        weight_decay: NotNegative = 0.01,
        adam_lr: Rate | None = None,
        betas: tuple[BelowOne, BelowOne] = (0.9, 0.999),
    ) -> None:
        params = list(params)
        matrices = [p for p in params if p.ndim > 1 and p.is_floating_point()]
        others = [p for p in params if p.ndim <= 1 or not p.is_floating_point()]
        shared = {"weight_decay": weight_decay}
        of_adam = {"lr": ADAM_SHARE * lr if adam_lr is None else adam_lr, "betas": betas, "eps": 1e-8}
        super().__init__(
            [
                {"params": matrices, "lr": lr, "momentum": momentum},
                {"params": others, **of_adam, "fused": can_fuse(others)},
            ],
            shared,
        )

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Move the parameters that have a gradient; the loss where `closure` computes it."""
        value = None
        if closure is not None:
            with torch.enable_grad():
                value = closure()
        matrices, others = self.param_groups
        for parameter in matrices["params"]:
            if parameter.grad is not None:
                self._step_matrix(parameter, matrices)
        self._step_others([p for p in others["params"] if p.grad is not None], others)
        return value

    def _step_matrix(self, parameter: Tensor, group: dict[str, Any]) -> None:
        gradient, state = parameter.grad, self.state[parameter]
        assert gradient is not None
        if not state:
            state["momentum_buffer"] = torch.zeros_like(gradient)
        mean = state["momentum_buffer"].lerp_(gradient, 1 - group["momentum"])
        ahead = gradient.lerp(mean, group["momentum"]).flatten(1)
        rows, columns = ahead.shape
        length = group["lr"] * math.sqrt(max(1, rows / columns))
        parameter.mul_(1 - group["lr"] * group["weight_decay"])
        parameter.add_(orthogonalised(ahead).reshape(parameter.shape), alpha=-length)

    def _step_others(self, params: list[Tensor], group: dict[str, Any]) -> None:
        for parameter in params:
            if not (state := self.state[parameter]):
                device = parameter.device if group["fused"] else None
                state["step"] = torch.zeros((), dtype=torch.float32, device=device)
                state["exp_avg"], state["exp_avg_sq"] = (
                    torch.zeros_like(parameter),
                    torch.zeros_like(parameter),
                )
        states = [self.state[parameter] for parameter in params]
        adamw(
            params,
            [parameter.grad for parameter in params if parameter.grad is not None],
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [],
            [state["step"] for state in states],
            fused=group["fused"],
            has_complex=any(parameter.is_complex() for parameter in params),
            amsgrad=False,
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            maximize=False,
        )


def orthogonalised(matrix: Tensor) -> Tensor:
    """A matrix (rows, columns) with its singular values brought near 1, between about 0.7 and 1.2.

    Newton-Schulz iterations of the fifth degree, in bfloat16, which they bear and which is the fastest; in
    float64 for float64.
    """
    if matrix.shape[0] > matrix.shape[1]:
        return orthogonalised(matrix.T).T
    x = matrix.to(torch.float64 if matrix.dtype == torch.float64 else torch.bfloat16)
    x = x / x.norm().clamp(min=SMALLEST_NORM)
    a, b, c = COEFFICIENTS
    for _ in range(NUM_ITERATIONS):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x

"""adam: steps scaled by running means of the gradients and of their squares."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor, optim

from nnkit.optimizers._settings import DEFAULT_LR, BelowOne, NotNegative, Rate, can_fuse


class Adam(optim.Adam):
    """Adam (Kingma and Ba, 2015).

    `lr` is the learning rate. `betas` are the decays of the running means of the gradients and of their
    squares. `eps` is added to the root of the latter. `weight_decay` is added to the gradient, times the
    weights.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        *,
        lr: Rate = DEFAULT_LR,
        betas: tuple[BelowOne, BelowOne] = (0.9, 0.999),
        eps: NotNegative = 1e-8,
        weight_decay: NotNegative = 0.0,
    ) -> None:
        params = list(params)
        super().__init__(
            params, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, fused=can_fuse(params)
        )

"""lbfgs: a quasi-Newton method with a line search."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor, optim

from nnkit.optimizers._settings import FromOne, Rate


class Lbfgs(optim.LBFGS):
    """L-BFGS with a strong Wolfe line search; evaluates the loss several times per step.

    `lr` is the first length that the search tries, relative to the Newton step. `max_iter` is the number of
    iterations per step. `history_size` is the number of steps that the curvature is estimated from.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        *,
        lr: Rate = 1.0,
        max_iter: FromOne = 20,
        history_size: FromOne = 10,
    ) -> None:
        super().__init__(
            params, lr=lr, max_iter=max_iter, history_size=history_size, line_search_fn="strong_wolfe"
        )

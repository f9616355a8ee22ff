"""sgd: stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor, optim

from nnkit.errors import UsageError
from nnkit.optimizers._settings import DEFAULT_LR, NotNegative, Rate, can_fuse


class Sgd(optim.SGD):
    """Stochastic gradient descent; momentum with Nesterov's look-ahead when `nesterov` is set.

    `lr` is the learning rate. `momentum` is the share of the last step that is added to the next one.
    `weight_decay` is added to the gradient, times the weights. `UsageError` for `nesterov` without momentum.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        *,
        lr: Rate = DEFAULT_LR,
        momentum: NotNegative = 0.0,
        weight_decay: NotNegative = 0.0,
        nesterov: bool = False,
    ) -> None:
        if nesterov and not momentum:
            raise UsageError("nesterov looks ahead along the momentum, which is 0", hint="set momentum=0.9")
        params = list(params)
        super().__init__(
            params,
            lr=lr,
            momentum=momentum,
            weight_decay=weight_decay,
            nesterov=nesterov,
            fused=can_fuse(params),
        )

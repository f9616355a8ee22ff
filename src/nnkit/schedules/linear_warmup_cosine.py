"""linear-warmup-cosine: the learning rate rises in a straight line, then falls along half a cosine."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import Field
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

Share = Annotated[float, Field(ge=0, le=1)]


class LinearWarmupCosine(LambdaLR):
    """Rises from near 0 to the learning rate in a straight line, then falls along half a cosine.

    `warmup` is the share of the steps over which the rate rises (Goyal et al., 2017). `final` is the share of
    the rate at which it ends. `T_max` is the number of steps, by default those of the run.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        *,
        warmup: Share = 0.05,
        final: Share = 0.0,
        T_max: Annotated[int, Field(ge=1)],
    ) -> None:
        num_warmup = round(warmup * T_max)

        def share(step: int) -> float:
            if step < num_warmup:
                return (step + 1) / (num_warmup + 1)
            progress = min(1.0, (step - num_warmup) / max(1, T_max - num_warmup))
            return final + (1 - final) * (1 + math.cos(math.pi * progress)) / 2

        super().__init__(optimizer, share)

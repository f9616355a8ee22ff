"""one-cycle: the learning rate rises, then falls."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch.optim import Optimizer
from torch.optim.lr_scheduler import OneCycleLR


class OneCycle(OneCycleLR):
    """Rises to the learning rate from a 25th of it, then falls to 0, step by step (Smith and Topin, 2018).

    `warmup` is the share of the steps over which it rises. `total_steps` is the number of steps and one more,
    by default those of the run.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        *,
        warmup: Annotated[float, Field(ge=0, le=1)] = 0.3,
        total_steps: Annotated[int, Field(ge=2)],
    ) -> None:
        if warmup * total_steps == 1:  # torch divides by the length of the rise, which would be 0
            warmup -= 1e-12
        # Cycling the momentum is torch's default; left out so that every optimizer behaves alike.
        super().__init__(
            optimizer,
            max_lr=[group["lr"] for group in optimizer.param_groups],
            total_steps=total_steps,
            pct_start=warmup,
            cycle_momentum=False,
        )

"""cosine: the learning rate falls along half a cosine, after a warm-up where one is asked for."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import Field
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR

Share = Annotated[float, Field(ge=0, le=1)]


class Cosine(CosineAnnealingLR):
    """Falls from the learning rate to 0 along half a cosine, step by step (Loshchilov and Hutter, 2017).

    `warmup` is the share of the steps over which the rate first rises, in a straight line. `final` is the
    share of the rate at which it ends. `T_max` is the number of steps, by default those of the run.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        *,
        warmup: Share = 0.0,
        final: Share = 0.0,
        T_max: Annotated[int, Field(ge=1)],
    ) -> None:
        self.num_warmup = round(warmup * T_max)
        self.final = final
        super().__init__(optimizer, T_max=T_max)

    def get_lr(self) -> list[float | Tensor]:
        """The rates after `last_epoch` steps, one for each group of parameters."""
        if not self.num_warmup and not self.final:
            return super().get_lr()
        share = self._share(self.last_epoch)
        return [rate * share for rate in self.base_lrs]

    def _share(self, step: int) -> float:
        """The share of the learning rate at a step from 0 on."""
        if step < self.num_warmup:
            return (step + 1) / (self.num_warmup + 1)
        progress = min(1.0, (step - self.num_warmup) / max(1, self.T_max - self.num_warmup))
        return self.final + (1 - self.final) * (1 + math.cos(math.pi * progress)) / 2

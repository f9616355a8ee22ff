"""timm's networks and schedules as components of nnkit; its optimizers are components as they stand."""

from __future__ import annotations

from typing import Any

import timm
from timm.scheduler import CosineLRScheduler, PolyLRScheduler, TanhLRScheduler
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from nnkit.errors import UsageError


class TimmNet(nn.Module):
    """A network of timm by its name, with random weights: (B, C, H, W) to (B, K) logits.

    `architecture` is one of `timm.list_models()`, such as resnet18 or efficientnet_b0. `image_side` is the
    side of the images in pixels, for networks that are made for one size, such as vit_tiny_patch16_224; left
    out, they keep their own. `drop_rate` is the dropout before the last layer, in [0, 1).
    """

    def __init__(
        self,
        *,
        in_channels: int,
        num_classes: int,
        architecture: str = "resnet18",
        image_side: int | None = None,
        drop_rate: float = 0.0,
    ) -> None:
        super().__init__()
        if not 0 <= drop_rate < 1:
            raise ValueError(f"drop_rate is {drop_rate}, it must lie in [0, 1)")
        if not timm.is_model(architecture):
            near = timm.list_models(f"*{architecture}*")[:5] if architecture.isidentifier() else []
            raise UsageError(
                f'timm has no network "{architecture[:80]}"',
                hint=f"did you mean {', '.join(near)}?" if near else "timm.list_models() names them all",
            )
        more: dict[str, Any] = {} if image_side is None else {"img_size": image_side}
        try:
            self.net = timm.create_model(
                architecture, in_chans=in_channels, num_classes=num_classes, drop_rate=drop_rate, **more
            )
        except (TypeError, AssertionError) as error:
            raise UsageError(
                f'timm\'s "{architecture}" cannot be made so: {str(error) or type(error).__name__}',
                hint="image_side is for networks of one image size alone, and a multiple of their patches",
            ) from error

    def forward(self, inputs: Tensor) -> Tensor:
        """Images to logits."""
        logits: Tensor = self.net(inputs)
        return logits


class _OfSteps(LRScheduler):
    """A schedule of timm, stepped as torch's are: its rates follow from the number of steps alone."""

    def __init__(self, optimizer: Optimizer, rates: Any) -> None:
        self._rates = rates
        super().__init__(optimizer)

    def get_lr(self) -> list[float | Tensor]:
        """The rates after `last_epoch` steps, one for each group of parameters."""
        return list(self._rates._get_lr(self.last_epoch))

    def state_dict(self) -> dict[str, Any]:
        """The number of steps, and the rates at the start."""
        return {
            key: value
            for key, value in super().state_dict().items()
            if key in ("last_epoch", "base_lrs", "_step_count", "_last_lr")
        }


def _first_steps(T_max: int, warmup: float) -> int:
    if not 0 <= warmup < 1:
        raise ValueError(f"warmup is {warmup}, it must lie in [0, 1): a share of the steps")
    return round(warmup * T_max)


class TimmCosine(_OfSteps):
    """timm's cosine, over the steps of the run: a linear rise, then half a cosine per cycle.

    `T_max` is the number of steps, which the run fills in. `warmup` is the share of them in which the rate
    rises from 0. `cycles` restarts divide the run; each begins at `cycle_decay` times the one before.
    `lr_min` is the rate at the end of each, and `k_decay` bends the curve (1: a plain cosine).
    """

    def __init__(
        self,
        optimizer: Optimizer,
        T_max: int,
        *,
        warmup: float = 0.05,
        cycles: int = 1,
        cycle_decay: float = 1.0,
        lr_min: float = 0.0,
        k_decay: float = 1.0,
    ) -> None:
        if cycles < 1:
            raise ValueError(f"cycles is {cycles}, it must be at least 1")
        rates = CosineLRScheduler(
            optimizer, max(1, -(-T_max // cycles)), lr_min=lr_min, cycle_limit=cycles,
            cycle_decay=cycle_decay, warmup_t=_first_steps(T_max, warmup), k_decay=k_decay, t_in_epochs=False,
        )  # fmt: skip
        super().__init__(optimizer, rates)


class TimmPoly(_OfSteps):
    """timm's polynomial fall, over the steps of the run, to `lr_min`; `power` 1 is a straight line.

    `T_max` is the number of steps, which the run fills in; `warmup` the share of them that rises from 0.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        T_max: int,
        *,
        warmup: float = 0.05,
        power: float = 0.5,
        lr_min: float = 0.0,
    ) -> None:
        rates = PolyLRScheduler(
            optimizer,
            T_max,
            power=power,
            lr_min=lr_min,
            warmup_t=_first_steps(T_max, warmup),
            t_in_epochs=False,
        )
        super().__init__(optimizer, rates)


class TimmTanh(_OfSteps):
    """timm's hyperbolic tangent, over the steps of the run, from the rate to `lr_min`.

    `T_max` is the number of steps, which the run fills in; `warmup` the share of them that rises from 0. The
    curve is tanh between `lb` and `ub`.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        T_max: int,
        *,
        warmup: float = 0.05,
        lb: float = -7.0,
        ub: float = 3.0,
        lr_min: float = 0.0,
    ) -> None:
        rates = TanhLRScheduler(
            optimizer,
            T_max,
            lb=lb,
            ub=ub,
            lr_min=lr_min,
            warmup_t=_first_steps(T_max, warmup),
            t_in_epochs=False,
        )
        super().__init__(optimizer, rates)

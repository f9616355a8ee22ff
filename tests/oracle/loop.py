"""The judge of training: a plain PyTorch loop written from the documentation, not from nnkit's code.

It is given the order of the batches and does what each option says, in torch's default dtype. Everything is
recomputed: the inputs, the learning rates, the clipping, the smoothing, the average of the weights. Only the
seed of each step's random numbers is nnkit's (`seed_step`), since no documentation says how it is mixed.
"""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn, optim

from nnkit.training.loop import seed_step
from oracle.geometry import augmented
from oracle.muon import Muon

OPTIMIZERS: Mapping[str, Callable[..., Any]] = {
    "sgd": lambda p, **settings: optim.SGD(p, foreach=False, **settings),
    "adam": lambda p, **settings: optim.Adam(p, foreach=False, **settings),
    "adamw": lambda p, **settings: optim.AdamW(p, foreach=False, **settings),
    "rmsprop": lambda p, **settings: optim.RMSprop(p, foreach=False, **settings),
    "nadam": lambda p, **settings: optim.NAdam(p, foreach=False, **settings),
    "radam": lambda p, **settings: optim.RAdam(p, foreach=False, **settings),
    "adagrad": lambda p, **settings: optim.Adagrad(p, foreach=False, **settings),
    "muon": lambda p, **settings: Muon(p, **settings),
    "lbfgs": lambda p, **settings: optim.LBFGS(p, line_search_fn="strong_wolfe", **settings),
}
Weights = dict[str, Tensor]


@dataclass(frozen=True)
class Options:
    """The options of training, as the documentation names them."""

    optimizer: str = "adam"
    settings: Mapping[str, Any] = field(default_factory=dict)
    lr: float = 1e-2
    schedule: str = "none"
    of_schedule: Mapping[str, Any] = field(default_factory=dict)
    epochs: int = 2
    batch_size: int = 12
    augment: str = "none"
    precision: str = "fp32"
    clip: float | None = None
    label_smoothing: float = 0.0
    ema: float = 0.0
    seed: int = 0


@dataclass
class Trace:
    """What the oracle found: before each step the weights, and its inputs, rate and loss per image; per epoch
    the weights to validate, mean loss and accuracy of the steps' outputs."""

    weights: list[Weights] = field(default_factory=list)
    inputs: list[Tensor] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    validated: list[Weights] = field(default_factory=list)
    train_loss: list[float] = field(default_factory=list)
    train_accuracy: list[float] = field(default_factory=list)


Batch = tuple[Tensor, Tensor | None, Tensor]
"""Images in [0, 1] (B, C, H, W), where they are (B, 1, H, W) or None for everywhere, and their targets."""


def train(
    x: Options,
    net: nn.Module,
    order: Sequence[Sequence[Batch]],
    *,
    mean: float = 0.0,
    std: float = 1.0,
    criterion: Callable[[Tensor, Tensor], Tensor] | None = None,
) -> Trace:
    """Train `net` on each epoch's batches; `criterion` is a mean over images (default: cross-entropy)."""
    trace, average, total = Trace(), None, x.epochs * len(order[0])
    criterion = criterion or functools.partial(cross_entropy, smoothing=x.label_smoothing)
    optimizer = OPTIMIZERS[x.optimizer](net.parameters(), lr=x.lr, **x.settings)
    outputs: list[Tensor] = []
    for epoch, batches in enumerate(order, 1):
        outputs.clear()
        for number, (images, mask, target) in enumerate(batches):
            rate = learning_rate(x, len(trace.losses), total)
            optimizer.param_groups[0]["lr"] = rate
            seed_step(x.seed, epoch, number)
            inputs = (augmented(x.augment, images, mask) - mean) / std
            inputs = inputs if mask is None else inputs * mask
            trace.weights.append(weights_of(net))
            trace.inputs.append(inputs)
            trace.rates.append(rate)
            first = len(outputs)

            def closure(
                inputs: Tensor = inputs, mask: Tensor | None = mask, target: Tensor = target
            ) -> Tensor:
                optimizer.zero_grad()
                output = forward(net.train(), inputs, mask, x.precision)
                outputs.append(output.detach())
                value = criterion(output, target)
                value.backward()
                clip([p.grad for p in net.parameters() if p.grad is not None], x.clip)
                return value

            trace.losses.append(float(optimizer.step(closure).detach()))
            del outputs[first + 1 :]  # L-BFGS asks several times: the first answer is that before the step
            average = moved_average(average, net, x.ema)
        trace.validated.append(average if average is not None else weights_of(net))
        losses, sizes = trace.losses[-len(batches) :], [len(target) for _, _, target in batches]
        trace.train_loss.append(sum(a * b for a, b in zip(losses, sizes, strict=True)) / sum(sizes))
        targets = [target for _, _, target in batches]
        if targets[0].ndim == 1:
            right = sum(int((o.argmax(1) == t).sum()) for o, t in zip(outputs, targets, strict=True))
            trace.train_accuracy.append(right / sum(sizes))
    return trace


def forward(net: nn.Module, inputs: Tensor, mask: Tensor | None, precision: str) -> Tensor:
    """The output in the default dtype; in bf16 the forward pass alone is computed in it."""
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
        output: Tensor = net(inputs) if mask is None else net(inputs, mask=mask)
    return output.to(torch.get_default_dtype())


def cross_entropy(output: Tensor, target: Tensor, smoothing: float = 0.0) -> Tensor:
    """The mean over images of -Σ q log softmax: q is 1 - s on the target and s / K everywhere."""
    q = torch.full_like(output, smoothing / output.shape[1])
    q[torch.arange(len(target)), target] += 1 - smoothing
    return -(q * (output - output.logsumexp(1, keepdim=True))).sum(1).mean()


def learning_rate(x: Options, step: int, total: int) -> float:
    """The rate of a step from 0 on.

    Half a cosine, perhaps after a straight line up, to a share of the rate; or up from a 25th over 30 %, then
    to 0; or by a factor less after so many steps.
    """
    settings = x.of_schedule
    if x.schedule == "cosine":
        low = settings.get("eta_min", 0.0)
        return float(low + (x.lr - low) * (1 + math.cos(math.pi * step / total)) / 2)
    if x.schedule == "linear-warmup-cosine":
        warm, final = round(settings.get("warmup", 0.05) * total), settings.get("final", 0)
        if step < warm:
            return x.lr * (step + 1) / (warm + 1)
        half = (1 + math.cos(math.pi * (step - warm) / (total - warm))) / 2
        return float(x.lr * (final + (1 - final) * half))
    if x.schedule == "one-cycle":
        top = settings.get("warmup", 0.3) * (total + 1) - 1
        low, last = x.lr / 25, x.lr / 25e4
        start, end, share = (
            (low, x.lr, step / top) if step <= top else (x.lr, last, (step - top) / (total - top))
        )
        return float(end + (start - end) * (1 + math.cos(math.pi * share)) / 2)
    if x.schedule == "step":
        return float(x.lr * settings.get("gamma", 0.1) ** (step // settings["step_size"]))
    if x.schedule == "exponential":
        return float(x.lr * settings["gamma"] ** step)
    return x.lr


def clip(gradients: Sequence[Tensor], most: float | None) -> None:
    """Shrink all gradients together so that their common norm is at most `most` (Pascanu et al., 2013)."""
    if most is not None:
        norm = math.sqrt(sum(float((g.double() ** 2).sum()) for g in gradients))
        for gradient in gradients:
            gradient.mul_(min(1.0, most / (norm + 1e-6)))


def moved_average(average: Weights | None, net: nn.Module, decay: float) -> Weights | None:
    """decay · average + (1 - decay) · weights, from the weights after the first step; counters copied."""
    if decay == 0:
        return None
    now = weights_of(net)
    if average is None:
        return now
    return {k: decay * average[k] + (1 - decay) * v if v.is_floating_point() else v for k, v in now.items()}


def weights_of(net: nn.Module) -> Weights:
    """A copy of the parameters and buffers."""
    return copy.deepcopy(dict(net.state_dict()))

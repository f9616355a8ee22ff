"""What the pictures of a training run show, as plain values: `nnkit.present` draws them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn

from nnkit.data.loaders import EvalLoader
from nnkit.training.metrics import Metrics
from nnkit.training.observers import MetricsLog
from nnkit.types import Data, EpochResult, Task

NUM_EXAMPLES = 6


@dataclass(frozen=True)
class Examples:
    """Validation images as float (N, C, H, W): as they are, as the transform and as each model makes them."""

    inputs: np.ndarray
    targets: np.ndarray
    outputs: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class FigureData:
    """What the figures of one run show. `first_epoch` holds (step, loss), `confusion` counts (K, K)."""

    task: Task
    epochs: Sequence[EpochResult]
    first_epoch: Sequence[tuple[int, float]]
    best_epoch: int
    class_names: Sequence[str] = ()
    confusion: Mapping[str, np.ndarray] = field(default_factory=dict)
    examples: Examples | None = None


def figure_data(
    data: Data,
    model: nn.Module,
    device: torch.device,
    log: MetricsLog,
    best_epoch: int,
    tested: Metrics | None,
) -> FigureData:
    """The curves, and the task's own: confusion matrices of the test, or examples of the transform."""
    counts = tested.confusion() if tested is not None else {}
    return FigureData(
        task=data.task,
        epochs=log.epochs,
        first_epoch=log.first_epoch,
        best_epoch=best_epoch,
        class_names=data.class_names,
        confusion={key: np.array(matrix) for key, matrix in counts.items()},
        examples=make_examples(data, {"output": model}, device) if data.task == "transform" else None,
    )


def make_examples(data: Data, models: Mapping[str, nn.Module], device: torch.device) -> Examples | None:
    """Six validation images as the transform and as each model makes them; None without any."""
    split = data.splits["val"].sample(NUM_EXAMPLES)
    if not len(split):
        return None
    batch = next(iter(EvalLoader(data, split, batch_size=NUM_EXAMPLES, device=device)))
    outputs = {}
    with torch.inference_mode():
        for name, model in models.items():
            outputs[name] = model.eval()(batch.inputs).float().cpu().numpy()
    return Examples(batch.inputs.cpu().numpy(), batch.targets.cpu().numpy(), outputs)

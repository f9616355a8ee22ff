"""The pictures of a training run, each with the data behind it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

from nnkit.data.loaders import EvalLoader
from nnkit.present import figures
from nnkit.training.metrics import ClassificationMetrics, Metrics
from nnkit.training.observers import MetricsLog
from nnkit.types import Data

NUM_EXAMPLES = 6


def write_figures(
    folder: Path,
    data: Data,
    model: nn.Module,
    device: torch.device,
    log: MetricsLog,
    best_epoch: int,
    tested: Metrics | None,
) -> list[Path]:
    """Curves, the first epoch, and the task's own picture: confusion matrices or examples."""
    written = figures.write_curves(folder, log.epochs, data.task, best_epoch=best_epoch)
    written += figures.write_first_epoch(folder, log.first_epoch)
    if any(epoch.by_resolution for epoch in log.epochs):
        written += figures.write_resolution_curves(folder, log.epochs)
    if isinstance(tested, ClassificationMetrics):
        matrices = {key: np.array(matrix) for key, matrix in tested.confusion().items()}
        written += figures.write_confusion(folder, matrices, data.class_names)
    if data.task == "transform":
        written += write_examples(folder, data, {"output": model}, device)
    return written


def write_examples(
    folder: Path, data: Data, models: dict[str, nn.Module], device: torch.device
) -> list[Path]:
    """Six validation images as the transform and as each model makes them."""
    split = data.splits["val"].sample(NUM_EXAMPLES)
    if not len(split):
        return []
    batch = next(iter(EvalLoader(data, split, batch_size=NUM_EXAMPLES, device=device)))
    outputs = {}
    with torch.inference_mode():
        for name, model in models.items():
            outputs[name] = model.eval()(batch.inputs).float().cpu().numpy()
    return figures.write_examples(folder, batch.inputs.cpu().numpy(), batch.targets.cpu().numpy(), outputs)

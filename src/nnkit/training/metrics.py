"""Metrics over a split: sums that stay on the device, each sample counted once, read at the end."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from nnkit.sums import count_pairs, difference, sum_type
from nnkit.surrogates.fidelity import fidelity_class, psnr
from nnkit.training.metric_components import NamedMetric
from nnkit.types import Batch, Data, resolution_name, resolution_order

COSINE_THRESHOLD = 0.95
BOUNDARY = 1e-5
"""A reference this near (in [0, 1]) to a rounding boundary may round to either 8-bit value."""


class Metrics(Protocol):
    """Collects batches of outputs and sums them up."""

    def add(self, output: Tensor, batch: Batch, loss: Tensor) -> None:
        """Count a batch; `loss` is its sum over the images."""
        ...

    def result(self) -> dict[str, Any]:
        """The metrics over all that was added; NaN where nothing was."""
        ...

    def confusion(self) -> dict[str, list[list[int]]]:
        """Confusion matrices of classes by name; empty for another task."""
        ...


def make_metrics(data: Data, device: torch.device, components: Sequence[NamedMetric] = ()) -> Metrics:
    """The metrics of the data's task, and those that are components, which forget what they had counted."""
    own: Metrics = TransformMetrics(device)
    if data.task == "classification":
        own = ClassificationMetrics(len(data.class_names), device)
    for metric in components:
        metric.reset()
    return _WithComponents(own, components) if components else own


@dataclass
class _WithComponents:
    """The metrics of a task, and components over the same batches."""

    own: Metrics
    components: Sequence[NamedMetric]
    num_images: int = 0
    found: dict[str, float] | None = None

    def add(self, output: Tensor, batch: Batch, loss: Tensor) -> None:
        """Count a batch in all of them."""
        self.own.add(output, batch, loss)
        self.num_images += len(batch.targets)
        for metric in self.components:
            metric.update(output, batch.targets)

    def result(self) -> dict[str, Any]:
        """The values of all; a component gives up its batches with its value, which may be much memory."""
        if not self.num_images:
            return {**self.own.result(), **{key: math.nan for each in self.components for key in each.keys}}
        if self.found is None:
            self.found = {}
            for metric in self.components:
                self.found |= metric.values()
                metric.reset()
        return {**self.own.result(), **self.found}

    def confusion(self) -> dict[str, list[list[int]]]:
        """Those of the task's own."""
        return self.own.confusion()


def batch_sum(loss: nn.Module, value: Tensor, num_images: int) -> Tensor:
    """A batch's loss as a sum over its images, whatever the loss's own reduction."""
    return value if _sums(loss) else value * num_images


def per_image(loss: nn.Module, value: Tensor, num_images: int) -> Tensor:
    """A batch's loss as a mean over its images, whatever the loss's own reduction."""
    return value / num_images if _sums(loss) else value


def _sums(loss: nn.Module) -> bool:
    return bool(getattr(loss, "reduction", "mean") == "sum")


@dataclass
class _Resolution:
    """Sums over the images of one original size, or of one range of them."""

    confusion: Tensor
    loss: Tensor


@dataclass
class ClassificationMetrics:
    """Loss, accuracy and confusion matrices, over all images and for each resolution.

    A batch holds images of one resolution, an original size or a range of them: evaluation plans them so.
    """

    num_classes: int
    device: torch.device
    resolutions: dict[str, _Resolution] = field(default_factory=dict)

    def add(self, output: Tensor, batch: Batch, loss: Tensor) -> None:
        """Count a batch of logits (B, K) against class indices (B,)."""
        key = batch.resolution or resolution_name(*(batch.original_size or batch.inputs.shape[2:]))
        if key not in self.resolutions:
            self.resolutions[key] = _Resolution(
                torch.zeros(self.num_classes**2, dtype=torch.int64, device=self.device),
                torch.zeros((), dtype=sum_type(self.device), device=self.device),
            )
        sums = self.resolutions[key]
        count_pairs(sums.confusion, output, batch.targets)
        sums.loss += loss

    @property
    def _tells_resolutions(self) -> bool:
        return len(self.resolutions) > 1

    def confusion(self) -> dict[str, list[list[int]]]:
        """Counts by true class (row) and predicted one (column): "all", and each of several resolutions."""
        empty = torch.zeros(self.num_classes**2, dtype=torch.int64, device=self.device)
        total = sum((sums.confusion for sums in self.resolutions.values()), empty)
        several = self.resolutions if self._tells_resolutions else {}
        matrices = {
            "all": total,
            **{key: several[key].confusion for key in sorted(several, key=resolution_order)},
        }
        shape = (self.num_classes, self.num_classes)
        return {key: matrix.reshape(shape).to(torch.int64).tolist() for key, matrix in matrices.items()}

    def result(self) -> dict[str, Any]:
        """`loss` and `accuracy`; where there are several resolutions, both and the images by resolution."""
        parts = {
            key: self._read(self.resolutions[key]) for key in sorted(self.resolutions, key=resolution_order)
        }
        num = sum(part[2] for part in parts.values())
        metrics: dict[str, Any] = {
            "loss": sum(part[0] for part in parts.values()) / num if num else math.nan,
            "accuracy": sum(part[1] for part in parts.values()) / num if num else math.nan,
        }
        if self._tells_resolutions:
            metrics["accuracy_by_resolution"] = {key: part[1] / part[2] for key, part in parts.items()}
            metrics["loss_by_resolution"] = {key: part[0] / part[2] for key, part in parts.items()}
            metrics["images_by_resolution"] = {key: part[2] for key, part in parts.items()}
        return metrics

    def _read(self, sums: _Resolution) -> tuple[float, int, int]:
        matrix = sums.confusion.reshape(self.num_classes, self.num_classes)
        return float(sums.loss), int(matrix.trace()), int(matrix.sum())


@dataclass
class TransformMetrics:
    """The errors of images from their targets, also as 8-bit values."""

    device: torch.device
    num_images: int = 0
    num_values: int = 0
    sums: dict[str, Tensor] = field(default_factory=dict)

    def add(self, output: Tensor, batch: Batch, loss: Tensor) -> None:
        """Count a batch of images (B, C, H, W) against targets of the same shape in [0, 1]."""
        target = batch.targets
        error = difference(output, target)
        self.num_images += len(target)
        self.num_values += target.numel()
        flat_output, flat_target = output.flatten(1), target.flatten(1)
        cosine = nn.functional.cosine_similarity(flat_output, flat_target, dim=1)
        differs = levels(output) != levels(target)
        self._sum("loss", loss.to(sum_type(self.device)))
        self._sum("squared", error.square().sum())
        self._sum("absolute", error.abs().sum())
        self._sum("cosine", (cosine >= COSINE_THRESHOLD).sum())
        self._sum("differing", differs.sum())
        self._sum("near_boundary", (differs & near_boundary(target)).sum())
        largest = error.abs().max() if error.numel() else torch.zeros((), device=self.device)
        self.sums["max"] = torch.maximum(self.sums.get("max", largest), largest)

    def _sum(self, key: str, value: Tensor) -> None:
        self.sums[key] = self.sums[key] + value if key in self.sums else value

    def result(self) -> dict[str, Any]:
        """The transform metrics that scripts read, `levels` as counts of pixels.

        `fidelity` holds the class, None without images, and the errors that determine it.
        """
        if not self.num_images:
            names = ("loss", "mse", "mae_sum", "max_abs_error", "psnr", "cosine_accuracy")
            nothing = dict.fromkeys(names, math.nan)
            return {
                **nothing,
                "levels": {"differing": 0, "near_boundary": 0},
                "fidelity": _judged(nothing, None),
            }
        sums = {key: float(value) for key, value in self.sums.items()}
        mse = sums["squared"] / self.num_values
        metrics = {
            "loss": sums["loss"] / self.num_images,
            "mse": mse,
            "mae_sum": sums["absolute"] / self.num_images,
            "max_abs_error": sums["max"],
            "psnr": psnr(mse),
            "cosine_accuracy": sums["cosine"] / self.num_images,
            "levels": {"differing": int(sums["differing"]), "near_boundary": int(sums["near_boundary"])},
        }
        judged = _judged(metrics, fidelity_class(metrics, self.num_values // self.num_images))
        return {**metrics, "fidelity": judged}

    def confusion(self) -> dict[str, list[list[int]]]:
        """None: there are no classes."""
        return {}


def _judged(metrics: Mapping[str, Any], fidelity: str | None) -> dict[str, Any]:
    return {"class": fidelity, **{key: metrics[key] for key in ("max_abs_error", "mae_sum")}}


def levels(images: Tensor) -> Tensor:
    """The 8-bit value of each element: clamped to [0, 1], times 255, rounded."""
    return images.clamp(0, 1).mul(255).round()


def near_boundary(images: Tensor) -> Tensor:
    """Whether a value lies within 1e-5 of a boundary between two 8-bit values."""
    scaled = images.to(sum_type(images.device)) * 255
    return (scaled - scaled.floor() - 0.5).abs() <= BOUNDARY * 255


def flat(metrics: Mapping[str, Any], prefix: str) -> dict[str, float]:
    """The scalar metrics with a prefix, as records and stopping rules name them."""
    return {f"{prefix}_{key}": value for key, value in metrics.items() if isinstance(value, (int, float))}

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from nnkit.data.images import Images
from nnkit.data.loaders import EvalLoader, TrainLoader
from nnkit.errors import UsageError
from nnkit.training.evaluation import evaluate
from nnkit.training.metrics import (
    ClassificationMetrics,
    TransformMetrics,
    flat,
    levels,
    near_boundary,
    per_image,
)
from nnkit.types import Batch, Data, Split

CPU = torch.device("cpu")


def batch(targets: torch.Tensor, size: tuple[int, int] = (2, 2)) -> Batch:
    return Batch(torch.zeros(len(targets), 1, *size), targets, np.arange(len(targets)))


def transformed(*pairs: tuple[list[float], list[float]], loss: float = 0.0) -> dict[str, object]:
    """The metrics of images of one row: (output, target) pairs, each a batch of its own."""
    metrics = TransformMetrics(CPU)
    for output, target in pairs:
        images = [torch.tensor(values, dtype=torch.float32).view(1, 1, 1, -1) for values in (output, target)]
        metrics.add(images[0], batch(images[1]), torch.tensor(loss))
    return metrics.result()


def test_nothing_seen_is_not_a_number() -> None:
    for metrics in (ClassificationMetrics(3, CPU), TransformMetrics(CPU)):
        result = metrics.result()
        assert math.isnan(result["loss"])
        assert all(math.isnan(value) for value in result.values() if isinstance(value, float))


def test_a_confusion_matrix_counts_true_classes_by_predicted_ones() -> None:
    metrics = ClassificationMetrics(3, CPU)
    output = torch.eye(3)[[0, 1, 1, 2]]
    metrics.add(output, batch(torch.tensor([0, 0, 1, 2])), torch.tensor(2.0))
    assert metrics.confusion() == {"all": [[1, 1, 0], [0, 1, 0], [0, 0, 1]]}
    assert metrics.result() == {"loss": 0.5, "accuracy": 0.75}


def test_resolutions_are_told_apart_and_stand_by_area() -> None:
    metrics = ClassificationMetrics(2, CPU)
    for size, hit in (((100, 9), 1), ((32, 32), 0), ((8, 8), 1)):
        metrics.add(torch.eye(2)[[hit]], batch(torch.tensor([1]), size), torch.tensor(1.0))
    assert metrics.result()["accuracy_by_resolution"] == {"8x8": 1.0, "100x9": 1.0, "32x32": 0.0}
    assert list(metrics.confusion()) == ["all", "8x8", "100x9", "32x32"]


def test_levels_of_a_case_worked_by_hand() -> None:
    # Reference 0.5/255 lies on the boundary of levels 0 and 1; 10.2/255 is level 10, far from any.
    result = transformed(([0.6 / 255, 11.2 / 255, 3 / 255, 1.7], [0.4999 / 255, 10.2 / 255, 3.2 / 255, 1.0]))
    assert result["levels"] == {"differing": 2, "near_boundary": 1}


def test_levels_clamp_and_round() -> None:
    assert levels(torch.tensor([-1.0, 0.0, 0.6 / 255, 1.0, 2.0])).tolist() == [0, 0, 1, 255, 255]


def test_a_value_is_near_a_boundary_within_the_contracts_distance() -> None:
    edge = 7.5 / 255
    values = torch.tensor([edge, edge + 0.9e-5, edge - 0.9e-5, edge + 1.1e-5, 7 / 255], dtype=torch.float64)
    assert near_boundary(values).tolist() == [True, True, True, False, False]


def test_transform_metrics_are_those_of_the_definitions() -> None:
    result = transformed(([0.5, 0.0], [0.25, 0.0]), ([0.0, 1.0], [1.0, 0.0]), loss=3.0)
    assert result["loss"] == 3.0
    assert result["mse"] == (0.25**2 + 2) / 4
    assert result["mae_sum"] == (0.25 + 2) / 2
    assert result["max_abs_error"] == 1.0
    assert result["psnr"] == pytest.approx(10 * math.log10(4 / (0.25**2 + 2)))
    assert result["cosine_accuracy"] == 0.5


def test_a_perfect_transform_has_an_infinite_psnr_and_an_infinite_one_none_that_is_high() -> None:
    assert transformed(([0.5], [0.5]))["psnr"] == math.inf
    assert transformed(([math.inf], [0.5]))["psnr"] == -math.inf
    assert math.isnan(transformed(([math.nan], [0.5]))["psnr"])  # type: ignore[arg-type]


def test_outputs_of_another_shape_than_the_targets_are_refused() -> None:
    with pytest.raises(UsageError, match="1×1×2, but targets of 1×1×1"):
        transformed(([0.5, 0.5], [0.5]))


def test_a_loss_is_told_per_image_whatever_its_reduction() -> None:
    value = torch.tensor(12.0)
    assert float(per_image(nn.MSELoss(reduction="sum"), value, 4)) == 3.0
    assert float(per_image(nn.MSELoss(), value, 4)) == 12.0


def test_flat_metrics_are_the_numbers_with_a_prefix() -> None:
    assert flat({"loss": 1.0, "levels": {"differing": 3}}, "val") == {"val_loss": 1.0}


def test_padded_images_are_told_apart_by_their_own_size() -> None:
    own = np.array([[4, 4], [6, 6], [4, 4], [6, 6]])
    images = Images.from_tensor(torch.zeros(4, 1, 8, 8, dtype=torch.uint8), original_sizes=own)
    split = Split(images, torch.tensor([0, 1, 1, 1]), np.arange(4))
    data = Data("classification", {"val": split}, 1, (8, 8), ("a", "b"))
    batches = EvalLoader(data, split, batch_size=4, device=CPU)
    metrics = ClassificationMetrics(2, CPU)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 2))
    with torch.no_grad():
        model[1].bias.copy_(torch.tensor([0.0, 5.0]))
    evaluate(model, batches, nn.CrossEntropyLoss(), metrics)
    assert metrics.result()["accuracy_by_resolution"] == {"4x4": 0.5, "6x6": 1.0}
    batches = TrainLoader(data, split, batch_size=4, device=CPU)
    (whole,) = batches.plan()
    assert len(whole) == 4


def test_a_transform_is_exact_where_levels_agree_away_from_the_boundaries() -> None:
    near = transformed(([0.6 / 255, 10.2 / 255], [0.4999 / 255, 10.2 / 255]))
    assert near["levels"] == {"differing": 1, "near_boundary": 1}
    assert near["fidelity"] == {
        "class": "exact",
        "max_abs_error": near["max_abs_error"],
        "mae_sum": near["mae_sum"],
    }


def test_a_level_off_is_half_level_and_more_than_half_a_level_on_average_is_approximate() -> None:
    one_off = transformed(([11.2 / 255, 0.2, 0.3, 0.4], [10.2 / 255, 0.2, 0.3, 0.4]))
    assert one_off["fidelity"]["class"] == "half-level"  # type: ignore[index]
    both_off = transformed(([11.2 / 255, 12.2 / 255], [10.2 / 255, 11.2 / 255]))
    assert both_off["fidelity"]["class"] == "approximate"  # type: ignore[index]
    assert transformed(([math.nan], [0.5]))["fidelity"]["class"] == "approximate"  # type: ignore[index]


def test_nothing_seen_has_no_fidelity_class() -> None:
    assert TransformMetrics(CPU).result()["fidelity"]["class"] is None


def test_a_batch_counts_for_the_range_of_sizes_that_it_names() -> None:
    metrics = ClassificationMetrics(2, CPU)
    small, large = "8x8 to 9x9", "10x9 to 100x100"
    for resolution, size, hit in ((large, (20, 9), 0), (small, (8, 8), 1), (large, (90, 9), 1)):
        named = replace(batch(torch.tensor([1]), size), resolution=resolution)
        metrics.add(torch.eye(2)[[hit]], named, torch.tensor(float(size[0])))
    result = metrics.result()
    assert list(result["accuracy_by_resolution"].items()) == [(small, 1.0), (large, 0.5)]
    assert list(result["loss_by_resolution"].items()) == [(small, 8.0), (large, 55.0)]
    assert list(result["images_by_resolution"].items()) == [(small, 1), (large, 2)]
    assert metrics.confusion() == {"all": [[0, 0], [1, 2]], small: [[0, 0], [0, 1]], large: [[0, 0], [1, 1]]}

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from nnkit.data.images import Images
from nnkit.errors import UsageError
from nnkit.types import EXACT_SIZES, Bucketing, Data, Split, lower_is_better, resolution_name


def test_bounds_themselves_are_allowed() -> None:
    assert Bucketing(tolerance=0, max_buckets=1, max_pixels=1).shares_buckets
    assert Bucketing(fit="resize", max_buckets=1).fit == "resize"
    defaults = (0.0, None, None, "keep", "bucket", "pad")
    told = EXACT_SIZES
    assert (
        told.tolerance, told.max_buckets, told.max_pixels, told.leftovers, told.pad_to, told.fit
    ) == defaults  # fmt: skip


@pytest.mark.parametrize(
    ("num_images", "limit", "places"),
    [
        (10, 3, [0, 3, 6]),
        (10, 4, [0, 2, 5, 7]),
        (10, 10, list(range(10))),
        (10, 99, list(range(10))),
        (10, 1, [0]),
        (0, 3, []),
    ],
)
def test_a_sample_is_spread_evenly_over_the_split(num_images: int, limit: int, places: list[int]) -> None:
    held = Images.from_tensor(torch.zeros(30, 1, 2, 3, dtype=torch.uint8))
    split = Split(held, torch.arange(30), np.arange(30)[::-1][:num_images])
    sample = split.sample(limit)
    assert len(split) == num_images
    assert sample.indices.tolist() == [29 - place for place in places]
    assert sample.images is held
    assert sample.targets is split.targets
    assert sample.sizes.tolist() == [[2, 3]] * len(places)


def test_sizes_are_those_of_the_splits_own_images_now_and_before_they_were_resized() -> None:
    own = np.array([[4, 5], [6, 7], [8, 9]])
    held = Images.from_tensor(torch.zeros(3, 1, 2, 2, dtype=torch.uint8), own_sizes=own)
    split = Split(held, torch.arange(3), np.array([2, 0]))
    assert split.sizes.tolist() == [[2, 2], [2, 2]]
    assert split.own_sizes.tolist() == [[8, 9], [4, 5]]


@pytest.mark.parametrize("task", ["classification", "transform"])
def test_a_dataset_fills_in_what_its_task_knows(task: Any) -> None:
    data = Data(task, {}, 3, (4, 5), ("a", "b"), 2, (6, 7))
    shared = {"in_channels": 3, "image_size": (4, 5)}
    own = {"num_classes": 2} if task == "classification" else {"target_channels": 2, "target_size": (6, 7)}
    assert data.known_settings() == shared | own


def test_less_is_better_of_losses_and_errors_and_more_of_the_rest() -> None:
    lower = ["loss", "mse", "mae_sum", "max_abs_error"]
    higher = ["accuracy", "psnr", "cosine_accuracy", "learning_rate"]
    for prefix in ("", "train_", "val_"):
        assert all(lower_is_better(prefix + name) for name in lower)
        assert not any(lower_is_better(prefix + name) for name in higher)


def test_a_resolution_is_named_height_first() -> None:
    assert resolution_name(32, 48) == "32x48"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"tolerance": -0.1}, "tolerance=-0.1"),
        ({"tolerance": math.nan}, "tolerance=nan"),
        ({"tolerance": math.inf}, "tolerance=inf"),
        ({"max_buckets": 0}, "max_buckets=0"),
        ({"max_pixels": -1}, "max_pixels=-1"),
        ({"fit": "resize"}, "nothing to do"),
        ({"fit": "resize", "tolerance": 0.1, "leftovers": "merge"}, "leftovers=merge"),
        ({"fit": "resize", "max_buckets": 2, "pad_to": "batch"}, "pad_to=batch"),
    ],
)
def test_bucket_settings_that_make_no_sense_are_refused(settings: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Bucketing(**settings)  # type: ignore[arg-type]


def test_each_size_is_a_bucket_by_itself_unless_told_otherwise() -> None:
    assert not EXACT_SIZES.shares_buckets
    assert Bucketing(tolerance=0.1).shares_buckets
    assert Bucketing(max_buckets=3).shares_buckets

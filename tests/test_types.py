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
    assert Bucketing(resize_policy="resize", max_buckets=1).resize_policy == "resize"
    for size in ((2, 2), (8192, 8192)):
        assert Bucketing(resize_policy="pad", size=size).size == size
    assert vars(EXACT_SIZES) == {
        "resize_policy": "keep", "size": None, "tolerance": 0.0, "max_buckets": None, "max_pixels": None,
        "leftovers": "keep", "pad_to": "bucket",
    }  # fmt: skip


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
    held = Images.from_tensor(torch.zeros(3, 1, 2, 2, dtype=torch.uint8), original_sizes=own)
    split = Split(held, torch.arange(3), np.array([2, 0]))
    assert split.sizes.tolist() == [[2, 2], [2, 2]]
    assert split.original_sizes.tolist() == [[8, 9], [4, 5]]


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
    for time in ("seconds", "train_s", "data_wait_s"):  # as an epoch's metrics have them, of no split
        assert lower_is_better(time)


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
        ({"resize_policy": "resize", "tolerance": 0.1, "leftovers": "merge"}, "leftovers=merge"),
        ({"resize_policy": "resize", "max_buckets": 2, "pad_to": "batch"}, "pad_to=batch"),
        ({"resize_policy": "pad", "pad_to": "batch"}, "pad_to=batch"),
        ({"resize_policy": "pad", "max_buckets": 2}, "max_buckets"),
        ({"resize_policy": "pad", "tolerance": 0.5}, "tolerance"),
        ({"resize_policy": "letterbox", "max_buckets": 2}, "letterbox brings all images to one size"),
        ({"resize_policy": "letterbox", "tolerance": 0.5}, "tolerance"),
        ({"resize_policy": "letterbox", "pad_to": "batch"}, "pad_to=batch"),
        ({"resize_policy": "resize", "max_buckets": 2, "size": (28, 28)}, "no size is left"),
        ({"size": (28, 28)}, "resize_policy=keep"),
        ({"resize_policy": "resize", "size": (28, 1)}, "size=28x1"),
        ({"resize_policy": "pad", "size": (8193, 28)}, "size=8193x28"),
    ],
)
def test_bucket_settings_that_make_no_sense_are_refused(settings: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Bucketing(**settings)  # type: ignore[arg-type]


def test_each_size_is_a_bucket_by_itself_unless_told_otherwise() -> None:
    assert not EXACT_SIZES.shares_buckets
    assert Bucketing(tolerance=0.1).shares_buckets
    assert Bucketing(max_buckets=3).shares_buckets


def test_all_images_are_of_one_size_where_they_are_padded_or_resized_to_no_bucket() -> None:
    assert Bucketing(resize_policy="pad").makes_one_size
    assert Bucketing(resize_policy="letterbox").makes_one_size
    assert Bucketing(resize_policy="resize", max_pixels=9, leftovers="drop").makes_one_size
    assert not Bucketing(resize_policy="resize", tolerance=0.1).makes_one_size
    assert not Bucketing(max_buckets=1).makes_one_size

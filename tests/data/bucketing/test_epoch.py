"""An epoch's order, what it drops, and what its planning costs."""

from __future__ import annotations

import itertools
import sys
import tracemalloc
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from nnkit.data.bucketing import plan_batches
from nnkit.data.bucketing.sizes import assign_buckets

TWO_SIZES = [(8, 8)] * 37 + [(9, 9)] * 26


def drawn(**options: Any) -> list[int]:
    """The images of an epoch in the order in which they come."""
    return [index for batch in plan_batches(TWO_SIZES, **options) for index in batch.indices.tolist()]


@pytest.mark.parametrize("order", ["interleaved", "by-resolution"])
@pytest.mark.parametrize("pad_to", ["bucket", "batch"])
@pytest.mark.parametrize("leftovers", ["keep", "merge"])
def test_each_epoch_sees_every_image_once_in_an_order_of_its_own(
    order: Any, pad_to: Any, leftovers: Any
) -> None:
    options: dict[str, Any] = {"batch_size": 5, "order": order, "pad_to": pad_to, "leftovers": leftovers}
    orders = {
        (seed, epoch): drawn(seed=seed, epoch=epoch, **options) for seed in range(4) for epoch in range(4)
    }
    assert all(sorted(images) == list(range(63)) for images in orders.values())
    assert len(set(map(tuple, orders.values()))) == len(orders)
    assert orders[2, 3] == drawn(seed=2, epoch=3, **options)


@pytest.mark.parametrize("sizes", [[(8, 8)] * 3, [(6, 6), (7, 7), (8, 8)]])
def test_every_order_is_as_likely_as_any_other(sizes: list[tuple[int, int]]) -> None:
    buckets = assign_buckets(sizes)
    # 600 epochs of each kind: 100 of each order expected, 60 to 140 are more than four standard deviations.
    for varied in ("seed", "epoch"):
        plans = (plan_batches(buckets, batch_size=1, **{varied: i}) for i in range(600))
        counts = Counter(tuple(int(batch.indices[0]) for batch in plan) for plan in plans)
        assert len(counts) == 6
        assert all(60 <= count <= 140 for count in counts.values())


def test_an_image_meets_every_other_one_of_its_bucket_equally_often() -> None:
    buckets = assign_buckets([(8, 8)] * 6)
    pairs: Counter[tuple[int, int]] = Counter()
    for epoch in range(500):
        for batch in plan_batches(buckets, batch_size=2, epoch=epoch):
            low, high = sorted(batch.indices.tolist())
            pairs[low, high] += 1
    # 1,500 pairs of 15 kinds: 100 of each expected, with a standard deviation under 10.
    assert len(pairs) == 15
    assert all(60 <= count <= 140 for count in pairs.values())


def irregular_sizes(num_images: int) -> np.ndarray:
    return np.random.default_rng(7).integers(16, 80, (num_images, 2))


@pytest.mark.parametrize("world", [1, 2, 3])
@pytest.mark.parametrize("max_pixels", [None, 20_000])
def test_what_is_dropped_does_not_depend_on_what_batches_are_padded_to(
    world: int, max_pixels: int | None
) -> None:
    buckets = assign_buckets(irregular_sizes(400), max_buckets=5)
    for epoch in range(3):
        by_bucket, by_batch = (
            plan_batches(
                buckets,
                batch_size=8,
                world=world,
                epoch=epoch,
                leftovers="drop",
                pad_to=pad_to,
                max_pixels=max_pixels,
            )
            for pad_to in ("bucket", "batch")
        )
        assert sorted(by_bucket.dropped) == by_bucket.dropped.tolist() != []
        assert by_batch.dropped.tolist() == by_bucket.dropped.tolist()


@pytest.mark.parametrize("world", [1, 2, 3])
def test_each_image_of_a_bucket_is_dropped_as_often_as_the_others(world: int) -> None:
    sizes = irregular_sizes(8 * world + 7 * world)
    buckets = assign_buckets(sizes, max_buckets=1)
    dropped: Counter[int] = Counter()
    for epoch in range(300):
        plan = plan_batches(buckets, batch_size=8, world=world, epoch=epoch, leftovers="drop", pad_to="batch")
        assert len(plan.dropped) == 7 * world
        dropped.update(plan.dropped.tolist())
    # 7 of 15 images each epoch: 140 times each, with a standard deviation of 8.6.
    assert len(dropped) == len(sizes)
    assert all(100 <= count <= 180 for count in dropped.values())


# Cost


def python_calls(run: Callable[[], Any]) -> int:
    """How many functions are called, Python's and C's: work that NumPy does in one call counts as one."""
    calls = itertools.count()
    old = sys.getprofile()
    sys.setprofile(lambda frame, event, argument: next(calls) if event in ("call", "c_call") else None)
    try:
        run()
    finally:
        sys.setprofile(old)
    return next(calls)


def sizes_of(num_images: int) -> np.ndarray:
    """500 sizes, each of which occurs."""
    which = np.arange(num_images) % 500
    return np.stack([16 + which // 20, 16 + 5 * (which % 20)], axis=1)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"max_buckets": 16},
        {"leftovers": "merge"},
        {"max_buckets": 4, "pad_to": "batch", "shuffle": False},
    ],
)
def test_as_many_batches_of_ten_times_the_images_take_no_more_calls_to_plan(options: dict[str, Any]) -> None:
    def calls(num_images: int) -> int:
        sizes = sizes_of(num_images)
        return python_calls(lambda: plan_batches(sizes, batch_size=num_images // 500, **options).forecast)

    calls(5_000)
    assert calls(50_000) <= calls(5_000) + 100


@pytest.mark.parametrize("max_buckets", [None, 16])
def test_planning_takes_under_a_hundred_bytes_per_image_and_a_plan_keeps_four(
    max_buckets: int | None,
) -> None:
    num_images = 400_000
    sizes = sizes_of(num_images)
    plan_batches(sizes[:500], batch_size=64, max_buckets=max_buckets)
    tracemalloc.start()
    try:
        plan = plan_batches(sizes, batch_size=64, max_buckets=max_buckets)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 100 * num_images
    assert plan.whole.row.nbytes == 4 * num_images
    assert len(plan.whole.buckets) == (max_buckets or 500)
    assert len(plan) >= num_images / 64

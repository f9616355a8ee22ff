"""Images of near sizes put into one batch, against a plain recursion over single images."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nnkit.data.bucketing import plan_batches
from nnkit.data.bucketing.size_order import near_order

Sizes = list[tuple[int, int]]
SIDE = st.integers(1, 9)
SIZES = st.lists(st.tuples(SIDE, SIDE), min_size=1, max_size=40)


def area(sizes: Sizes, images: list[int]) -> int:
    return max(sizes[i][0] for i in images) * max(sizes[i][1] for i in images) * len(images)


def recursion(
    sizes: Sizes, images: list[int], batch_size: int, num_left: Callable[[int], int]
) -> list[list[int]]:
    """Batches by the documented rule: part by height or width, whichever pads less, until nothing is to part.

    `num_left` says how many of so many batches stand in the first part.
    """
    num_batches = -(-len(images) // batch_size)
    if num_batches == 1 or len({sizes[i] for i in images}) == 1:
        return [images[start : start + batch_size] for start in range(0, len(images), batch_size)]
    cut = num_left(num_batches) * batch_size
    ways = []
    for by in (0, 1):
        ascending = sorted(images, key=lambda i, by=by: (sizes[i][by], sizes[i][1 - by]))
        ways.append((ascending[:cut], ascending[cut:]))
    first, second = min(ways, key=lambda way: area(sizes, way[0]) + area(sizes, way[1]))
    return [part for half in (first, second) for part in recursion(sizes, half, batch_size, num_left)]


def unshuffled(sizes: Sizes, batch_size: int) -> list[set[int]]:
    plan = plan_batches(sizes, batch_size=batch_size, max_buckets=1, pad_to="batch", shuffle=False)
    return [set(batch.indices.tolist()) for batch in plan]


@settings(max_examples=150, deadline=None)
@given(sizes=SIZES, batch_size=st.integers(1, 7))
def test_unshuffled_batches_are_parted_in_halves(sizes: Sizes, batch_size: int) -> None:
    expected = recursion(sizes, list(range(len(sizes))), batch_size, lambda num_batches: num_batches // 2)
    assert unshuffled(sizes, batch_size) == [set(images) for images in expected]


@pytest.mark.parametrize("num_images", [40, 400])
def test_images_of_one_size_stay_in_the_order_of_the_dataset(num_images: int) -> None:
    rng = np.random.default_rng(1)
    sizes: Sizes = [(int(h), int(w)) for h, w in rng.integers(5, 8, (num_images, 2))]
    expected = recursion(sizes, list(range(num_images)), 7, lambda num_batches: num_batches // 2)
    assert unshuffled(sizes, 7) == [set(images) for images in expected]


@pytest.mark.parametrize("by", [0, 1])
@settings(max_examples=50, deadline=None)
@given(sides=st.lists(st.integers(1, 30), min_size=1, max_size=40), batch_size=st.integers(1, 7))
def test_sizes_that_differ_in_one_side_are_sorted_by_it(sides: list[int], batch_size: int, by: int) -> None:
    sizes = [(side, 9) if by == 0 else (9, side) for side in sides]
    ascending = sorted(range(len(sides)), key=lambda i: sides[i])
    expected = [set(ascending[start : start + batch_size]) for start in range(0, len(sides), batch_size)]
    assert unshuffled(sizes, batch_size) == expected


class Edge:
    """Draws the smallest or the largest number that is asked for, in place of a random one."""

    def __init__(self, largest: bool) -> None:
        self.largest = largest

    def integers(self, low: int, high: int, endpoint: bool = False) -> int:
        return high - (not endpoint) if self.largest else low


@settings(max_examples=100, deadline=None)
@given(sizes=SIZES, batch_size=st.integers(1, 3), largest=st.booleans())
def test_shuffled_parts_hold_from_a_quarter_to_three_quarters_of_the_batches(
    sizes: Sizes, batch_size: int, largest: bool
) -> None:
    def num_left(num_batches: int) -> int:
        quarter = max(1, num_batches // 4)
        return num_batches - quarter if largest else quarter

    distinct = sorted(set(sizes))
    size_of = np.array([distinct.index(size) for size in sizes], dtype=np.uint16)
    rng: Any = Edge(largest)
    order = near_order(size_of, np.array(distinct), batch_size, rng).tolist()
    expected = recursion(sizes, list(range(len(sizes))), batch_size, num_left)
    found = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    assert list(map(set, found)) == list(map(set, expected))


def ways_to_part(images: list[int], batch_size: int) -> Iterator[list[list[int]]]:
    if not images:
        yield []
        return
    for others in itertools.combinations(images[1:], batch_size - 1):
        batch = [images[0], *others]
        for rest in ways_to_part([i for i in images if i not in batch], batch_size):
            yield [batch, *rest]


@pytest.mark.parametrize(("num_images", "batch_size"), [(6, 2), (9, 3)])
def test_batches_pad_a_few_percent_more_than_the_best_ones(num_images: int, batch_size: int) -> None:
    unshuffled_, shuffled = [], []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        sizes: Sizes = [(int(h), int(w)) for h, w in rng.integers(1, 60, (num_images, 2))]
        ways = ways_to_part(list(range(num_images)), batch_size)
        least = min(sum(area(sizes, batch) for batch in way) for way in ways)
        for shuffle, ratios in ((False, unshuffled_), (True, shuffled)):
            plan = plan_batches(
                sizes, batch_size=batch_size, max_buckets=1, pad_to="batch", shuffle=shuffle, seed=seed
            )
            ratios.append(plan.forecast.processed_pixels / least)
    assert min(unshuffled_) >= 1
    assert min(shuffled) >= 1
    assert np.mean(unshuffled_) <= 1.035
    assert np.mean(shuffled) <= 1.045


def test_one_batch_keeps_the_order_of_the_dataset() -> None:
    (batch,) = plan_batches(
        [(9, 2), (1, 1), (5, 5)], batch_size=3, max_buckets=1, pad_to="batch", shuffle=False
    )
    assert batch.indices.tolist() == [0, 1, 2]
    assert (batch.height, batch.width) == (9, 5)

"""The ranges of sizes that metrics are reported by: what holds for any sizes, and some by hand."""

from __future__ import annotations

import itertools
from dataclasses import replace
from random import Random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nnkit.data.images import Images
from nnkit.data.loaders import EvalLoader
from nnkit.data.resolutions import MAX_RANGES, range_name, range_of, ranges_of, size_ranges
from nnkit.data.splits import limited
from nnkit.types import SPLITS, Data, Size, SizeRanges, Split, resolution_order

CPU = torch.device("cpu")
SIDES = st.integers(1, 40) | st.integers(1, 8192)
SIZES = st.lists(
    st.tuples(SIDES, SIDES) | st.sampled_from([(8, 8), (4, 16), (60, 40)]), min_size=1, max_size=80
)


def by_area(size: Size) -> tuple[int, Size]:
    return size[0] * size[1], size


@settings(max_examples=200, deadline=None)
@given(SIZES, st.randoms(use_true_random=False))
def test_each_image_is_in_one_range_of_at_most_twelve_in_order_whatever_the_images_order(
    sizes: list[Size], random: Random
) -> None:
    ranges = size_ranges(sizes)
    assert 1 <= len(ranges) <= MAX_RANGES == 12
    places = range_of(np.array(sizes), ranges)
    for size, place in zip(sizes, places, strict=True):
        holders = [
            at for at, (low, high) in enumerate(ranges) if by_area(low) <= by_area(size) <= by_area(high)
        ]
        assert holders == [place]
    assert set(places.tolist()) == set(range(len(ranges))), "no range is empty"
    bounds = [by_area(size) for sides in ranges for size in sides]
    assert bounds == sorted(bounds)
    assert {size for sides in ranges for size in sides} <= set(sizes)
    names = [range_name(sides) for sides in ranges]
    assert len(set(names)) == len(names)
    assert sorted(names, key=resolution_order) == names
    shuffled = sizes.copy()
    random.shuffle(shuffled)
    assert size_ranges(shuffled) == ranges


@settings(max_examples=100, deadline=None)
@given(st.sets(st.tuples(SIDES, SIDES), min_size=1, max_size=12), st.integers(1, 3))
def test_up_to_twelve_sizes_are_each_named_by_itself(sizes: set[Size], times: int) -> None:
    ordered = sorted(sizes, key=by_area)
    ranges = size_ranges(ordered * times)
    assert ranges == tuple((size, size) for size in ordered)
    assert [range_name(sides) for sides in ranges] == [f"{h}x{w}" for h, w in ordered]


@settings(max_examples=100, deadline=None)
@given(SIZES)
def test_of_more_than_twelve_sizes_those_of_one_area_are_in_one_range(sizes: list[Size]) -> None:
    ranges = size_ranges(sizes)
    if len(set(sizes)) > MAX_RANGES:
        ends = [(low[0] * low[1], high[0] * high[1]) for low, high in ranges]
        assert all(one[1] < other[0] for one, other in itertools.pairwise(ends))


def test_as_many_images_of_as_many_sizes_share_the_ranges_evenly() -> None:
    sizes = [(side, side) for side in range(1, 1201)]
    counts = np.bincount(range_of(np.array(sizes), size_ranges(sizes)))
    assert counts.tolist() == [100] * 12


def test_a_size_of_most_of_the_images_is_a_range_of_its_own() -> None:
    rare = [(side, side) for side in (*range(1, 20), *range(21, 40))]
    ranges = size_ranges(rare + [(20, 20)] * 500)
    assert ((20, 20), (20, 20)) in ranges
    assert len(ranges) == 12


def test_thirteen_sizes_are_told_in_twelve_ranges_of_which_one_has_two() -> None:
    names = [range_name(sides) for sides in size_ranges([(10, side) for side in range(1, 14)])]
    assert names == [*(f"10x{side}" for side in range(1, 11)), "10x11 to 10x12", "10x13"]


def test_no_image_has_no_range() -> None:
    assert size_ranges(np.zeros((0, 2), np.int64)) == ()


def test_a_size_beyond_the_ranges_is_counted_with_the_nearest() -> None:
    ranges: SizeRanges = (((4, 4), (5, 5)), ((6, 6), (8, 9)))
    sizes = np.array([[1, 1], [5, 5], [4, 7], [8, 9], [100, 100]])
    assert range_of(sizes, ranges).tolist() == [0, 0, 1, 1, 1]


def many(side: int | None = None) -> Data:
    """90 images, nearly each of a size of its own, in three splits; with a side, all resized to it."""
    rng = np.random.default_rng(3)
    sizes = rng.integers(4, 60, (90, 2))
    images = Images.from_arrays([rng.integers(0, 256, (h, w)).astype(np.uint8) for h, w in sizes])
    if side is not None:
        images = images.resized(np.full((90, 2), side))
    labels = torch.from_numpy(rng.integers(0, 2, 90))
    parts = np.split(rng.permutation(90), [60, 75])
    splits = {name: Split(images, labels, part) for name, part in zip(SPLITS, parts, strict=True)}
    return Data("classification", splits, 1, images.image_size, ("a", "b"))


@pytest.mark.parametrize("side", [None, 6])
def test_a_batch_of_evaluation_has_one_resolution_and_the_image_it_is_of_is_in_that_range(
    side: int | None,
) -> None:
    data = many(side)
    ranges = ranges_of(data)
    assert len(ranges) == 12
    for split in data.splits.values():
        seen = []
        loader = EvalLoader(data, split, batch_size=4, device=CPU)
        for batch in loader:
            named = {
                range_name(ranges[place]) for place in range_of(split.original_sizes[batch.indices], ranges)
            }
            assert named == {batch.resolution}
            seen += batch.indices.tolist()
        assert sorted(seen) == list(range(len(split)))
        if side is not None:  # images of one shape and range share batches, whatever their original sizes
            shares = np.bincount(range_of(split.original_sizes, ranges))
            assert len(loader) == sum(-(-count // 4) for count in shares)


def test_the_ranges_are_those_of_the_whole_dataset_also_where_few_images_are_taken() -> None:
    data = many()
    few = limited(data, 5)
    assert {name: len(split) for name, split in few.splits.items()} == dict.fromkeys(SPLITS, 5)
    assert ranges_of(few) == ranges_of(data) == ranges_of(limited(data, None))
    assert ranges_of(replace(few, resolutions=None)) != ranges_of(data)

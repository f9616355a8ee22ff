"""Chosen buckets against every choice there is, where sizes are few or of one width."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import pytest

from nnkit.data.bucketing.clustering import _join_cheapest, cheapest_groups, group_shapes, near_groups


def pixels(sizes: np.ndarray, weights: np.ndarray, groups: np.ndarray) -> int:
    """Pixels of all images when each is padded to the largest height and width of its group."""
    total = 0
    for group in set(groups.tolist()):
        inside = groups == group
        height, width = sizes[inside].max(axis=0).tolist()
        total += height * width * int(weights[inside].sum())
    return total


def partitions(items: list[int], most: int) -> Iterator[list[list[int]]]:
    if not items:
        yield []
        return
    for parts in partitions(items[1:], most):
        for i in range(len(parts)):
            yield [*parts[:i], [items[0], *parts[i]], *parts[i + 1 :]]
        if len(parts) < most:
            yield [[items[0]], *parts]


def least_pixels(sizes: np.ndarray, weights: np.ndarray, max_groups: int) -> int:
    return min(
        sum(int(sizes[part].max(axis=0).prod() * weights[part].sum()) for part in parts)
        for parts in partitions(list(range(len(sizes))), max_groups)
    )


def least_pixels_of_columns(sides: np.ndarray, weights: np.ndarray, max_groups: int) -> float:
    """The least sum over groups of largest side × images, by dynamic programming over the sorted sides."""
    up_to = np.concatenate([[0], np.cumsum(weights)])
    least = np.full(len(sides) + 1, np.inf)
    least[0] = 0
    for _ in range(max_groups):
        one_more = [0.0]
        for last in range(1, len(sides) + 1):
            one_more.append(
                (least[:last] + sides[last - 1] * (up_to[last] - up_to[:last])).min(),
            )
        least = np.minimum(least, one_more)
    return float(least[-1])


def random_sizes(seed: int, most: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    sizes = np.unique(rng.integers(8, 64, (most, 2)), axis=0)
    return sizes, rng.integers(1, 50, len(sizes))


@pytest.mark.parametrize(("num_sizes", "max_groups"), [(6, 2), (7, 3)])
def test_the_choice_is_nearly_always_the_best_of_all(num_sizes: int, max_groups: int) -> None:
    ratios = []
    for seed in range(60):
        sizes, weights = random_sizes(seed, num_sizes)
        chosen = pixels(sizes, weights, cheapest_groups(sizes, weights, max_groups))
        ratios.append(chosen / least_pixels(sizes, weights, max_groups))
    assert min(ratios) == 1
    assert ratios.count(1) >= 0.88 * len(ratios)
    assert np.mean(ratios) <= 1.003
    assert max(ratios) <= 1.11


@pytest.mark.parametrize("by", [0, 1])
@pytest.mark.parametrize(("num_sizes", "max_groups"), [(30, 4), (300, 10), (300, 40)])
def test_sizes_that_differ_in_one_side_are_chosen_within_half_a_percent_of_the_best(
    num_sizes: int, max_groups: int, by: int
) -> None:
    ratios = []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        sides = np.unique(rng.integers(8, 5000, num_sizes))
        weights = rng.integers(1, 50, len(sides))
        sizes = np.full((len(sides), 2), 7)
        sizes[:, by] = sides
        groups = cheapest_groups(sizes, weights, max_groups)
        assert len(set(groups.tolist())) <= max_groups
        least = 7 * least_pixels_of_columns(sides, weights, max_groups)
        ratios.append(pixels(sizes, weights, groups) / least)
    assert min(ratios) >= 1
    assert max(ratios) <= 1.005
    assert np.mean(ratios) <= 1.002


def test_one_group_too_many_joins_the_pair_that_pads_least() -> None:
    for seed in range(40):
        sizes, weights = random_sizes(seed, 9)
        pairs = [
            [*({i} for i in range(len(sizes)) if i not in pair), set(pair)]
            for pair in itertools.combinations(range(len(sizes)), 2)
        ]
        least = min(
            sum(int(sizes[list(part)].max(axis=0).prod() * weights[list(part)].sum()) for part in parts)
            for parts in pairs
        )
        assert pixels(sizes, weights, cheapest_groups(sizes, weights, len(sizes) - 1)) == least


def test_joining_picks_the_cheapest_pair_of_all_each_time() -> None:
    for seed in range(8):
        rng = np.random.default_rng(seed)
        sizes, weights = rng.integers(8, 4000, (20, 2)), rng.integers(1, 5000, 20)
        parts = [[i] for i in range(len(sizes))]
        while len(parts) > 5:
            costs = {}
            for a, b in itertools.combinations(range(len(parts)), 2):
                apart = sum(int(sizes[p].max(axis=0).prod() * weights[p].sum()) for p in (parts[a], parts[b]))
                both = parts[a] + parts[b]
                costs[a, b] = int(sizes[both].max(axis=0).prod() * weights[both].sum()) - apart
            a, b = min(costs, key=lambda pair: costs[pair])
            parts[a] += parts.pop(b)
        joined = _join_cheapest(sizes, weights.astype(np.float64), 5)
        found = {frozenset(np.flatnonzero(joined == group).tolist()) for group in range(5)}
        assert found == set(map(frozenset, parts))


@pytest.mark.parametrize("max_groups", [5, 6, 1000])
def test_as_many_groups_as_sizes_keep_each_size_by_itself(max_groups: int) -> None:
    sizes = np.array([[3, 4], [4, 3], [9, 9], [9, 10], [10, 9]])
    assert cheapest_groups(sizes, np.ones(5, dtype=np.int64), max_groups).tolist() == [0, 1, 2, 3, 4]


def test_one_group_holds_all_sizes() -> None:
    sizes = np.array([[3, 40], [40, 3], [9, 9]])
    groups = cheapest_groups(sizes, np.array([1, 5, 9]), 1)
    assert groups.tolist() == [0, 0, 0]
    assert group_shapes(sizes, groups).tolist() == [[40, 40]]


def test_many_images_of_a_size_weigh_more_than_few() -> None:
    sizes = np.array([[10, 10], [12, 10], [13, 10]])
    assert cheapest_groups(sizes, np.array([1000, 10, 10]), 2).tolist() == [0, 1, 1]
    assert cheapest_groups(sizes, np.array([10, 1000, 10]), 2).tolist() == [0, 0, 1]


def test_a_size_goes_to_the_smallest_bucket_that_holds_it() -> None:
    rng = np.random.default_rng(4)
    sizes = np.unique(rng.integers(8, 300, (400, 2)), axis=0)
    groups = cheapest_groups(sizes, rng.integers(1, 9, len(sizes)), 12)
    shapes = group_shapes(sizes, groups)
    assert len(shapes) == 12
    for size, group in zip(sizes.tolist(), groups.tolist(), strict=True):
        holders = [shape for shape in shapes.tolist() if shape[0] >= size[0] and shape[1] >= size[1]]
        assert shapes[group].prod() == min(height * width for height, width in holders)


@pytest.mark.parametrize("max_groups", [1024, 1500])
def test_more_sizes_than_are_compared_in_pairs_are_first_grouped_by_nearness(max_groups: int) -> None:
    sides = 100 + np.arange(4000)
    sizes = np.stack([sides, np.full(4000, 50)], axis=1)
    groups = cheapest_groups(sizes, np.ones(4000, dtype=np.int64), max_groups)
    num_groups = int(groups.max()) + 1
    assert 0.97 * max_groups <= num_groups <= max_groups
    # A hundredth less of the tolerance that holds every member makes too many groups.
    tolerance = float((group_shapes(sizes, groups)[groups] / sizes).max()) - 1
    assert int(near_groups(sizes, 0.99 * tolerance).max()) + 1 > max_groups


def test_few_buckets_of_thousands_of_sizes_pad_as_little_as_those_of_one_column_can() -> None:
    sides = 100 + 3 * np.arange(2000)
    weights = np.random.default_rng(0).integers(1, 50, 2000)
    sizes = np.stack([np.full(2000, 9), sides], axis=1)
    groups = cheapest_groups(sizes, weights, 16)
    assert int(groups.max()) + 1 <= 16
    assert pixels(sizes, weights, groups) <= 1.002 * 9 * least_pixels_of_columns(sides, weights, 16)

"""Buckets against plain Python: sets, dictionaries and exact fractions in place of sorts and tables."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nnkit.data.bucketing.sizes import Buckets, assign_buckets
from nnkit.errors import UsageError

Shape = tuple[int, int]

# Close sides are counted in a table, sides far apart are sorted.
SIDE = st.one_of(st.integers(1, 6), st.sampled_from([20, 22, 24, 25, 100, 109, 110, 111, 121, 2**20]))
SIZES = st.lists(st.tuples(SIDE, SIDE), max_size=40)
several = settings(max_examples=150, deadline=None)


def by_area(shapes: set[Shape]) -> list[Shape]:
    return sorted(shapes, key=lambda shape: (shape[0] * shape[1], *shape))


def intervals(sides: set[int], tolerance: Fraction) -> dict[int, int]:
    """The interval of each side: a new one begins at each side that the last one's smallest cannot hold."""
    interval_of: dict[int, int] = {}
    first = 0
    for side in sorted(sides):
        if not interval_of or side > first * (1 + tolerance):
            first = side
        interval_of[side] = first
    return interval_of


def shape_of_each(sizes: list[Shape], tolerance: Fraction) -> list[Shape]:
    """Each image's bucket by the documented rule: a pair of intervals, as large as its largest members."""
    rows, columns = (intervals({size[axis] for size in sizes}, tolerance) for axis in (0, 1))
    members: dict[Shape, set[Shape]] = {}
    for height, width in sizes:
        members.setdefault((rows[height], columns[width]), set()).add((height, width))
    shapes = {
        cell: (max(height for height, _ in inside), max(width for _, width in inside))
        for cell, inside in members.items()
    }
    return [shapes[rows[height], columns[width]] for height, width in sizes]


def check(buckets: Buckets, sizes: list[Shape], shape_of: list[Shape]) -> None:
    """Every field and property against the images' sizes and the shape expected of each image's bucket."""
    shapes, distinct = by_area(set(shape_of)), sorted(set(sizes))
    assert [tuple(shape) for shape in buckets.shapes.tolist()] == shapes
    assert [tuple(size) for size in buckets.sizes.tolist()] == distinct
    assert len(buckets) == len(shapes)
    assert buckets.num_images == len(sizes)
    assert buckets.size_of.tolist() == [distinct.index(size) for size in sizes]
    assert buckets.bucket_of.tolist() == [shapes.index(shape) for shape in shape_of]
    bucket_of = dict(zip(sizes, shape_of, strict=True))
    assert buckets.bucket_of_size.tolist() == [shapes.index(bucket_of[size]) for size in distinct]
    num_of_size, num_of_bucket = Counter(sizes), Counter(shape_of)
    assert buckets.num_of_size.tolist() == [num_of_size[size] for size in distinct]
    assert buckets.num_of_bucket.tolist() == [num_of_bucket[shape] for shape in shapes]
    assert buckets.next_larger.tolist() == [next_larger(shapes, shape) for shape in shapes]
    assert buckets.sizes.dtype == buckets.num_of_size.dtype == buckets.bucket_of_size.dtype == np.int64
    assert buckets.shapes.dtype == buckets.num_of_bucket.dtype == buckets.next_larger.dtype == np.int64


def next_larger(shapes: list[Shape], shape: Shape) -> int:
    holders = [other for other in shapes if other[0] >= shape[0] and other[1] >= shape[1] and other != shape]
    return shapes.index(by_area(set(holders))[0]) if holders else -1


@given(sizes=SIZES, as_dtype=st.sampled_from([np.int64, np.int32, np.uint32]))
@several
def test_each_size_is_a_bucket_by_default(sizes: list[Shape], as_dtype: type) -> None:
    check(assign_buckets(np.array(sizes, dtype=as_dtype).reshape(-1, 2)), sizes, sizes)


@given(sizes=SIZES, tolerance=st.sampled_from(["0.05", "0.1", "0.25", "1", "3.5"]))
@several
def test_a_tolerance_cuts_each_side_into_intervals_from_the_smallest_up(
    sizes: list[Shape], tolerance: str
) -> None:
    expected = shape_of_each(sizes, Fraction(tolerance))
    check(assign_buckets(sizes, tolerance=float(tolerance)), sizes, expected)


def test_a_side_larger_by_the_tolerance_exactly_shares_the_bucket_and_a_pixel_more_does_not() -> None:
    for side in (10, 100, 10_000, 900_000):
        limit = side * 11 // 10
        assert len(assign_buckets([[side, 5], [limit, 5]], tolerance=0.1)) == 1
        assert len(assign_buckets([[5, side], [5, limit + 1]], tolerance=0.1)) == 2


@given(sizes=SIZES.filter(bool), max_buckets=st.integers(1, 4))
@several
def test_max_buckets_joins_what_the_tolerance_made_and_parts_none_of_it(
    sizes: list[Shape], max_buckets: int
) -> None:
    near = assign_buckets(sizes, tolerance=0.25)
    joined = assign_buckets(sizes, tolerance=0.25, max_buckets=max_buckets)
    assert len(joined) <= max_buckets
    assert len(joined) == len(near) or len(near) > max_buckets
    ends: dict[int, set[int]] = {}
    for before, after in zip(near.bucket_of.tolist(), joined.bucket_of.tolist(), strict=True):
        ends.setdefault(before, set()).add(after)
    assert all(len(places) == 1 for places in ends.values())
    shape_of = [
        tuple(np.array(sizes)[joined.bucket_of == k].max(axis=0).tolist()) for k in joined.bucket_of.tolist()
    ]
    check(joined, sizes, shape_of)


@pytest.mark.parametrize("num_sizes", [2**16, 2**16 + 1])
@pytest.mark.parametrize("far", [0, 2**19])
def test_more_sizes_than_16_bits_count_are_told_apart(num_sizes: int, far: int) -> None:
    places = np.arange(num_sizes)
    sizes = np.stack([1 + places // 256, 1 + places % 256], axis=1)
    sizes[-1] += far
    shuffled = np.random.default_rng(0).permutation(num_sizes)
    buckets = assign_buckets(sizes[shuffled])
    assert len(buckets) == num_sizes
    assert (buckets.sizes == sizes).all()
    assert (buckets.size_of == shuffled).all()
    assert (buckets.shapes[buckets.bucket_of] == sizes[shuffled]).all()


def test_the_next_larger_bucket_is_found_behind_thousands_that_do_not_hold_it() -> None:
    # Width 1 holds no image of width 2; the heights reach further than any block of a search.
    tall = [(height, 1) for height in range(10, 3000)]
    sizes = [(2, 2), *tall, (1500, 3), (5000, 2)]
    buckets = assign_buckets(sizes)
    shapes = [tuple(shape) for shape in buckets.shapes.tolist()]
    found = {
        shapes[k]: shapes[larger] for k, larger in enumerate(buckets.next_larger.tolist()) if larger >= 0
    }
    assert found[2, 2] == (1500, 3)
    assert found[10, 1] == (11, 1)
    assert found[1500, 1] == (1501, 1)
    assert found[2999, 1] == (5000, 2)
    assert (5000, 2) not in found
    assert (1500, 3) not in found


def test_sizes_go_from_1_to_2_to_the_20() -> None:
    assert assign_buckets([[1, 2**20], [2**20, 1]]).shapes.tolist() == [[1, 2**20], [2**20, 1]]


@pytest.mark.parametrize(
    ("bad", "message"), [((0, 3), "[0, 3]"), ((3, -4), "[3, -4]"), ((5, 2**20 + 1), "[5, 1048577]")]
)
def test_the_first_size_out_of_range_is_named_with_its_place(bad: Shape, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        assign_buckets([(4, 4), (1, 2**20), bad, (0, 0), (2**21, 2**21)])
    assert caught.value.message.startswith(f"sizes[2]={message}: expected height and width from 1 to 1048576")


@pytest.mark.parametrize("tolerance", [float("inf"), float("nan"), -1e-9, "0.1", None])
def test_a_tolerance_is_a_finite_number_from_0_on(tolerance: object) -> None:
    with pytest.raises(UsageError, match=r"^tolerance="):
        assign_buckets([[3, 4]], tolerance=tolerance)  # type: ignore[arg-type]


def test_whole_numbers_of_numpy_are_whole_numbers() -> None:
    assert len(assign_buckets([[3, 4], [5, 6]], tolerance=0, max_buckets=np.int64(1))) == 1  # type: ignore[arg-type]

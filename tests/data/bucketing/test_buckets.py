from __future__ import annotations

import itertools
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nnkit.data.bucketing import BucketPlan, IndexBatch, plan_batches
from nnkit.data.bucketing.epoch import BucketForecast, Forecast
from nnkit.data.bucketing.sizes import assign_buckets
from nnkit.errors import UsageError

# Few distinct sides make full buckets likely, single images and long sides make the edges.
SIDE = st.one_of(st.integers(1, 6), st.sampled_from([32, 48, 64, 20_000]))
SIZES = st.lists(st.tuples(SIDE, SIDE), max_size=60).map(lambda sizes: np.array(sizes).reshape(-1, 2))
PLANS = st.fixed_dictionaries(
    {
        "batch_size": st.integers(1, 9),
        "seed": st.integers(0, 2**40),
        "epoch": st.integers(0, 1000),
        "world": st.integers(1, 5),
        "shuffle": st.booleans(),
        "order": st.sampled_from(["interleaved", "by-resolution"]),
        "tolerance": st.sampled_from([0.0, 0.2, 1.0]),
        "max_buckets": st.sampled_from([None, 1, 3, 100]),
        "max_pixels": st.sampled_from([None, 1, 40, 5000]),
        "leftovers": st.sampled_from(["keep", "drop", "merge"]),
        "pad_to": st.sampled_from(["bucket", "batch"]),
    }
)
anything = given(sizes=SIZES, options=PLANS)
often = settings(max_examples=150, deadline=None)


def on_all_ranks(sizes: np.ndarray, options: dict[str, Any]) -> list[BucketPlan]:
    return [plan_batches(sizes, rank=rank, **options) for rank in range(options["world"])]


def content(plan: BucketPlan | list[IndexBatch]) -> list[tuple[list[int], int, int]]:
    return [(batch.indices.tolist(), batch.height, batch.width) for batch in plan]


def lognormal_sizes(seed: int, num_images: int = 20_000) -> np.ndarray:
    """Square roots of areas with median 48 and sigma 0.4, in [16, 256]; aspect ratios with sigma 0.25."""
    rng = np.random.default_rng(seed)
    side = np.clip(48 * np.exp(0.4 * rng.standard_normal(num_images)), 16, 256)
    aspect = np.exp(0.25 * rng.standard_normal(num_images))
    return np.rint(np.stack([side / np.sqrt(aspect), side * np.sqrt(aspect)], axis=1)).astype(np.int64)


# What holds for any plan


@anything
@often
def test_ranks_share_the_dataset_out_and_count_what_they_drop(
    sizes: np.ndarray, options: dict[str, Any]
) -> None:
    plans = on_all_ranks(sizes, options)
    seen = [index for plan in plans for batch in plan for index in batch.indices.tolist()]
    dropped = plans[0].dropped.tolist()
    assert sorted(seen + dropped) == list(range(len(sizes)))
    assert dropped == sorted(dropped)
    assert plans[0].forecast.num_dropped == len(dropped)
    if options["leftovers"] != "drop":
        assert len(dropped) < options["world"]


@anything
@often
def test_every_batch_has_one_shape_that_holds_its_images(sizes: np.ndarray, options: dict[str, Any]) -> None:
    for batch in itertools.chain(*on_all_ranks(sizes, options)):
        assert batch.indices.dtype == np.int64
        largest = sizes[batch.indices].max(axis=0)
        assert (largest <= [batch.height, batch.width]).all()
        if options["pad_to"] == "batch":
            assert largest.tolist() == [batch.height, batch.width]


@anything
@often
def test_a_batch_holds_an_image_and_keeps_its_limits(sizes: np.ndarray, options: dict[str, Any]) -> None:
    for batch in itertools.chain(*on_all_ranks(sizes, options)):
        assert 1 <= len(batch) <= options["batch_size"]
        pixels = len(batch) * batch.height * batch.width
        assert len(batch) == 1 or pixels <= (options["max_pixels"] or pixels)


@anything
@often
def test_length_is_exact_and_the_same_on_every_rank(sizes: np.ndarray, options: dict[str, Any]) -> None:
    plans = on_all_ranks(sizes, options)
    assert [len(plan) for plan in plans] == [len(list(plan)) for plan in plans]
    assert len({len(plan) for plan in plans}) == 1
    assert plans[0].forecast.num_batches == sum(map(len, plans))


@anything
@often
def test_the_forecast_is_what_counting_the_pixels_of_all_batches_gives(
    sizes: np.ndarray, options: dict[str, Any]
) -> None:
    check_forecast(sizes, options)


@pytest.mark.parametrize("leftovers", ["keep", "drop", "merge"])
@pytest.mark.parametrize("pad_to", ["bucket", "batch"])
@pytest.mark.parametrize("world", [1, 3])
@pytest.mark.parametrize("max_pixels", [None, 90])
def test_the_forecast_of_full_and_short_batches_counts_both(
    leftovers: str, pad_to: str, world: int, max_pixels: int | None
) -> None:
    sizes = np.random.default_rng(0).integers(1, 9, (150, 2))
    sizes[:40] = [[5, 7]]
    options = {"leftovers": leftovers, "pad_to": pad_to, "world": world, "max_pixels": max_pixels}
    check_forecast(sizes, options | {"batch_size": 7, "max_buckets": 12})


def check_forecast(sizes: np.ndarray, options: dict[str, Any]) -> None:
    plans = on_all_ranks(sizes, options)
    batches = list(itertools.chain(*plans))
    forecast, shapes = plans[0].forecast, plans[0].whole.buckets.shapes.tolist()
    images = sum(int(sizes[batch.indices].prod(axis=1).sum()) for batch in batches)
    processed = sum(len(batch) * batch.height * batch.width for batch in batches)
    num_images = sum(map(len, batches))
    most = [min(options["batch_size"], (options["max_pixels"] or 2**62) // (h * w)) or 1 for h, w in shapes]
    slots = sum(bucket.num_batches * slots for bucket, slots in zip(forecast.buckets, most, strict=True))
    assert forecast == Forecast(
        buckets=forecast.buckets,
        num_images=num_images,
        num_batches=len(batches),
        num_dropped=len(sizes) - num_images,
        num_merged=forecast.num_merged,
        fill=num_images / slots if batches else 1.0,
        processed_pixels=processed,
        padded_pixels=processed - images,
        padded_share=(processed - images) / processed if batches else 0.0,
    )
    assert sum(bucket.num_images for bucket in forecast.buckets) == num_images
    assert sum(bucket.num_batches for bucket in forecast.buckets) == len(batches)
    if options["pad_to"] == "bucket":
        expected = []
        for (height, width), slots in zip(shapes, most, strict=True):
            held = [len(batch) for batch in batches if (batch.height, batch.width) == (height, width)]
            fill = sum(held) / (len(held) * slots) if held else 1.0
            expected.append(BucketForecast(height, width, sum(held), len(held), fill))
        assert list(forecast.buckets) == expected


@pytest.mark.parametrize("pad_to", ["bucket", "batch"])
@pytest.mark.parametrize("batch_size", [64, 10_001])
def test_pixels_are_counted_exactly_beyond_what_a_float_holds(pad_to: Any, batch_size: int) -> None:
    side = 2**20 - 1
    plan = plan_batches(
        [[side, side]] * 10_000 + [[1, 1]], batch_size=batch_size, max_buckets=1, pad_to=pad_to
    )
    # The one image of one pixel is padded in a batch that holds others.
    assert plan.forecast.processed_pixels == 10_001 * side**2
    assert plan.forecast.padded_pixels == side**2 - 1


@given(sizes=SIZES, options=PLANS)
@often
def test_merged_images_are_those_in_batches_of_another_shape_than_their_buckets(
    sizes: np.ndarray, options: dict[str, Any]
) -> None:
    plan = plan_batches(sizes, **(options | {"world": 1, "pad_to": "bucket"}))
    buckets = plan.whole.buckets
    own = buckets.shapes[buckets.bucket_of].tolist()
    moved = sum([batch.height, batch.width] != own[i] for batch in plan for i in batch.indices.tolist())
    assert plan.forecast.num_merged == moved


@anything
@often
def test_a_slice_resumes_where_the_plan_was_left(sizes: np.ndarray, options: dict[str, Any]) -> None:
    plan = plan_batches(sizes, **options)
    whole = content(plan)
    for k in {0, 1, len(plan) // 2, len(plan)}:
        again = plan_batches(sizes, **options)
        assert content(again[k:]) == whole[k:]
        assert len(again[k:]) == len(whole[k:])


@given(sizes=SIZES, options=PLANS, tolerance=st.sampled_from([0.0, 0.05, 0.1, 0.5]))
@often
def test_buckets_assigned_once_give_the_same_plan(
    sizes: np.ndarray, options: dict[str, Any], tolerance: float
) -> None:
    options = options | {"tolerance": tolerance}
    fixed = {name: options.pop(name) for name in ("tolerance", "max_buckets")}
    buckets = assign_buckets(sizes, **fixed)
    assert content(plan_batches(buckets, **options)) == content(plan_batches(sizes, **options, **fixed))


@given(sizes=SIZES, tolerance=st.sampled_from([0.0, 0.05, 0.1, 0.5]))
@often
def test_a_bucket_exceeds_no_member_by_more_than_the_tolerance(sizes: np.ndarray, tolerance: float) -> None:
    buckets = assign_buckets(sizes, tolerance=tolerance)
    shapes = buckets.shapes[buckets.bucket_of]
    assert (shapes <= sizes * (1 + tolerance + 1e-6)).all()


@given(sizes=SIZES, max_buckets=st.integers(1, 10))
@often
def test_there_are_at_most_max_buckets_as_tight_as_their_members(sizes: np.ndarray, max_buckets: int) -> None:
    buckets = assign_buckets(sizes, max_buckets=max_buckets)
    assert len(buckets) <= max_buckets
    for k, shape in enumerate(buckets.shapes):
        assert sizes[buckets.bucket_of == k].max(axis=0).tolist() == shape.tolist()


# Seeds, epochs and orders

THREE_SIZES = np.repeat([[64, 64], [32, 32], [48, 48]], [70, 50, 60], axis=0)


def test_the_same_seed_and_epoch_give_the_same_plan() -> None:
    first, second = (plan_batches(THREE_SIZES, batch_size=8, seed=3, epoch=5) for _ in range(2))
    assert content(first) == content(second)


def test_the_defaults_are_the_first_epoch_of_seed_0_on_one_rank_shuffled_and_interleaved() -> None:
    written_out = plan_batches(
        THREE_SIZES,
        batch_size=8,
        seed=0,
        epoch=0,
        rank=0,
        world=1,
        shuffle=True,
        order="interleaved",
        tolerance=0.0,
        max_buckets=None,
        max_pixels=None,
        leftovers="keep",
        pad_to="bucket",
    )
    assert content(plan_batches(THREE_SIZES, batch_size=8)) == content(written_out)


@pytest.mark.parametrize("pad_to", ["bucket", "batch"])
def test_epochs_and_seeds_differ(pad_to: Any) -> None:
    plans = [
        content(plan_batches(THREE_SIZES, batch_size=8, seed=seed, epoch=epoch, pad_to=pad_to))
        for seed, epoch in [(0, 0), (0, 1), (1, 0), (2**32, 0)]
    ]
    assert all(left != right for left, right in itertools.combinations(plans, 2))


def test_interleaved_mixes_resolutions_and_by_resolution_goes_from_the_smallest() -> None:
    mixed = [batch.height for batch in plan_batches(THREE_SIZES, batch_size=8)]
    sorted_ = [batch.height for batch in plan_batches(THREE_SIZES, batch_size=8, order="by-resolution")]
    assert mixed != sorted(mixed)
    assert sorted_ == sorted(mixed)


def test_by_resolution_still_shuffles_within_a_bucket() -> None:
    first, second = (
        plan_batches(THREE_SIZES, batch_size=8, epoch=epoch, order="by-resolution")[0] for epoch in (0, 1)
    )
    assert set(first.indices) != set(second.indices)


def test_without_shuffling_images_stand_in_the_order_of_the_dataset() -> None:
    plan = plan_batches(THREE_SIZES, batch_size=64, shuffle=False)
    assert [batch.indices.tolist() for batch in plan] == [
        list(range(70, 120)),
        list(range(120, 180)),
        list(range(64)),
        list(range(64, 70)),
    ]
    assert content(plan) == content(plan_batches(THREE_SIZES, batch_size=64, shuffle=False, seed=9, epoch=9))


@pytest.mark.parametrize("pad_to", ["bucket", "batch"])
def test_an_image_meets_other_images_in_the_next_epoch(pad_to: Any) -> None:
    buckets = assign_buckets(lognormal_sizes(0), max_buckets=32)
    first, second = (
        {
            frozenset(batch.indices.tolist())
            for batch in plan_batches(buckets, batch_size=64, epoch=e, pad_to=pad_to)
        }
        for e in (0, 1)
    )
    assert len(first & second) < 0.1 * len(first)


# Leftovers and ranks


def test_keep_ends_each_bucket_with_a_short_batch() -> None:
    plan = plan_batches(THREE_SIZES, batch_size=16, shuffle=False)
    assert [len(batch) for batch in plan] == [16, 16, 16, 2, 16, 16, 16, 12, 16, 16, 16, 16, 6]
    assert plan.forecast.fill == pytest.approx(180 / (13 * 16))


def test_drop_leaves_only_full_batches() -> None:
    plan = plan_batches(THREE_SIZES, batch_size=16, leftovers="drop")
    assert {len(batch) for batch in plan} == {16}
    assert plan.forecast.num_dropped == 2 + 12 + 6
    assert plan.forecast.fill == 1


def test_merge_pads_leftovers_into_the_next_larger_bucket() -> None:
    plan = plan_batches(THREE_SIZES, batch_size=16, leftovers="merge", order="by-resolution")
    # 50 = 3 × 16 + 2; 60 + 2 = 3 × 16 + 14; 70 + 14 = 5 × 16 + 4, and the largest keeps its own.
    assert [len(batch) for batch in plan] == [16] * 11 + [4]
    assert plan.forecast.num_merged == 2 + 14
    assert plan.forecast.num_dropped == 0


def test_merge_passes_over_buckets_that_cannot_hold_the_images() -> None:
    sizes = np.array([[10, 40]] * 3 + [[40, 20]] * 4 + [[50, 50]] * 4)
    plan = plan_batches(sizes, batch_size=4, leftovers="merge", order="by-resolution")
    assert [(len(batch), batch.height, batch.width) for batch in plan] == [
        (4, 40, 20),
        (4, 50, 50),
        (3, 50, 50),
    ]


@pytest.mark.parametrize("num_images", [65, 127, 129, 130, 200])
def test_two_ranks_see_every_image_of_one_size(num_images: int) -> None:
    plans = [plan_batches([[28, 28]] * num_images, batch_size=64, rank=rank, world=2) for rank in (0, 1)]
    assert plans[0].forecast.num_dropped == 0
    assert sum(len(batch) for plan in plans for batch in plan) == num_images


def test_ranks_step_through_the_same_buckets_where_each_has_enough_images() -> None:
    ranks = [plan_batches(THREE_SIZES, batch_size=8, rank=rank, world=3) for rank in range(3)]
    for batches in zip(*ranks, strict=True):
        assert len({batch.height for batch in batches}) == 1
        assert max(map(len, batches)) - min(map(len, batches)) <= 1


def test_ranks_share_out_images_that_all_differ_in_size() -> None:
    sizes = np.stack([np.arange(1, 102), np.arange(1, 102)], axis=1)
    ranks = [plan_batches(sizes, batch_size=8, rank=rank, world=4) for rank in range(4)]
    assert [len(plan) for plan in ranks] == [25] * 4
    assert ranks[0].forecast.num_dropped == 1


def test_evaluation_on_several_ranks_covers_the_dataset_by_stride() -> None:
    sizes = lognormal_sizes(1, 501)
    plan = plan_batches(sizes, batch_size=8, shuffle=False)
    seen = [index for rank in range(3) for batch in plan[rank::3] for index in batch.indices.tolist()]
    assert sorted(seen) == list(range(501))


def test_what_is_dropped_is_not_always_the_largest() -> None:
    buckets = assign_buckets(lognormal_sizes(2), max_buckets=8)
    first, second = (
        plan_batches(buckets, batch_size=64, epoch=epoch, leftovers="drop", pad_to="batch").dropped
        for epoch in (0, 1)
    )
    assert len(np.intersect1d(first, second)) < 0.2 * len(first)


# Padding


@pytest.mark.parametrize("seed", range(3))
def test_32_buckets_of_lognormal_sizes_pad_at_most_a_tenth_where_batches_have_their_own_shape(
    seed: int,
) -> None:
    buckets = assign_buckets(lognormal_sizes(seed), max_buckets=32)
    assert len(buckets) == 32
    for batch_size in (32, 64):
        plan = plan_batches(buckets, batch_size=batch_size, seed=seed, pad_to="batch")
        assert plan.forecast.padded_share <= 0.10


@pytest.mark.parametrize(("max_buckets", "most"), [(32, 0.21), (128, 0.105), (160, 0.10)])
def test_fixed_shapes_pad_less_the_more_of_them_there_are(max_buckets: int, most: float) -> None:
    # With 32 fixed shapes no choice pads less than 16 % of these sizes (a Lagrangian bound).
    plan = plan_batches(lognormal_sizes(0), batch_size=64, max_buckets=max_buckets)
    assert plan.forecast.padded_share <= most


# Edges


@pytest.mark.parametrize("sizes", [[], np.zeros((0, 2), dtype=int)])
@pytest.mark.parametrize("leftovers", ["keep", "drop", "merge"])
@pytest.mark.parametrize("pad_to", ["bucket", "batch"])
def test_an_empty_dataset_gives_an_empty_plan(sizes: Any, leftovers: Any, pad_to: Any) -> None:
    plan = plan_batches(sizes, batch_size=8, leftovers=leftovers, pad_to=pad_to, max_buckets=4, world=2)
    assert list(plan) == []
    assert (len(plan), plan.forecast.buckets, plan.forecast.padded_share) == (0, (), 0)


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("batch_size", 0),
        ("batch_size", 2.5),
        ("batch_size", True),
        ("seed", -1),
        ("epoch", -1),
        ("world", 0),
        ("rank", 1),
        ("rank", -1),
        ("max_pixels", 0),
        ("max_buckets", 0),
        ("tolerance", -0.1),
        ("tolerance", float("nan")),
        ("order", "random"),
        ("leftovers", "kept"),
        ("pad_to", "image"),
    ],
)
def test_a_bad_argument_is_named_with_its_value_and_what_was_expected(argument: str, value: Any) -> None:
    arguments: dict[str, Any] = {"batch_size": 4, argument: value}
    with pytest.raises(UsageError, match=f"^{argument}=.*expected") as caught:
        plan_batches(THREE_SIZES, **arguments)
    assert str(value) in str(caught.value)


def test_an_unknown_choice_is_answered_with_those_there_are() -> None:
    with pytest.raises(UsageError) as caught:
        plan_batches(THREE_SIZES, batch_size=4, leftovers="merged")  # type: ignore[arg-type]
    assert caught.value.message.endswith("expected one of keep, drop, merge")
    assert caught.value.hint == 'did you mean "merge"?'


@pytest.mark.parametrize(
    "sizes", [[[0, 5]], [[5, -1]], [[5, 2**20 + 1]], [[1.5, 2.0]], [1, 2, 3], [[1, 2, 3]], [["a", "b"]]]
)
def test_bad_sizes_are_refused(sizes: Any) -> None:
    with pytest.raises(UsageError, match=r"^sizes.*expected"):
        plan_batches(sizes, batch_size=4)


def test_a_tolerance_beside_assigned_buckets_is_refused() -> None:
    with pytest.raises(UsageError, match="tolerance"):
        plan_batches(assign_buckets(THREE_SIZES), batch_size=4, tolerance=0.1)


def test_limits_beyond_any_dataset_are_no_limits() -> None:
    plan = plan_batches(THREE_SIZES, batch_size=10**30, max_pixels=10**30, seed=10**30, epoch=10**30)
    assert len(plan) == 3


def test_a_plan_is_a_sequence_that_crosses_to_another_process() -> None:
    plan = plan_batches(THREE_SIZES, batch_size=16)
    assert content(pickle.loads(pickle.dumps(plan))) == content(plan)
    assert content([plan[-1]]) == content(plan)[-1:]
    with pytest.raises(IndexError):
        plan[len(plan)]

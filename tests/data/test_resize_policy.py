from __future__ import annotations

import logging
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.transforms import v2

from nnkit.data.bucketing.sizes import assign_buckets
from nnkit.data.images import Images
from nnkit.data.resize_policy import (
    brought_to_buckets,
    brought_to_one_size,
    default_model,
    fitted,
    with_policy,
)
from nnkit.data.resizing import resize
from nnkit.data.splits import classification_data
from nnkit.errors import UsageError
from nnkit.types import Bucketing, Data

SIZES = st.lists(st.tuples(st.integers(1, 30), st.integers(1, 30)), min_size=2, max_size=12)
Sizes = list[tuple[int, int]]


def made(sizes: Sizes) -> Images:
    rng = np.random.default_rng(0)
    return Images.from_arrays([rng.integers(0, 256, size, np.uint8) for size in sizes])


def dataset(train: Sizes, val: Sizes, test: Sizes) -> Data:
    sizes = [*train, *val, *test]
    parts = np.split(np.arange(len(sizes)), [len(train), len(train) + len(val)])
    labels = torch.arange(len(sizes)) % 2
    return classification_data(
        made(sizes), labels, dict(zip(("train", "val", "test"), parts, strict=True)), ["a", "b"]
    )


def mean_and_std(data: Data) -> tuple[float, float]:
    """Of all the training images' pixels, in [0, 1]."""
    split = data.splits["train"]
    pixels = np.concatenate([split.images.image(i).numpy().ravel() for i in split.indices]) / 255
    return float(pixels.mean()), float(pixels.std())


@settings(max_examples=40, deadline=None)
@given(sizes=SIZES, num_train=st.integers(1, 12), max_buckets=st.integers(1, 4))
def test_every_image_is_resized_to_a_shape_of_the_training_images_buckets(
    sizes: Sizes, num_train: int, max_buckets: int
) -> None:
    num_train = min(num_train, len(sizes))
    data = dataset(sizes[:num_train], sizes[num_train:], [])
    images = data.splits["train"].images
    bucketing = Bucketing(max_buckets=max_buckets, resize_policy="resize")
    brought, same = with_policy(data, bucketing)
    assert same == bucketing
    buckets = assign_buckets(images.sizes[:num_train], max_buckets=max_buckets)
    shapes = {tuple(shape) for shape in np.maximum(buckets.shapes, 2).tolist()}
    fitted = brought.splits["train"].images
    assert brought.splits["val"].images is fitted
    assert {tuple(size) for size in fitted.sizes.tolist()} <= shapes
    assert np.array_equal(fitted.original_sizes, images.sizes)
    for index in range(len(images)):
        height, width = fitted.sizes[index].tolist()
        expected = resize(images.image(index)[None], (height, width))[0]
        assert torch.equal(fitted.image(index), expected)
    for index in range(num_train):
        assert (fitted.sizes[index] >= images.sizes[index]).all()


def test_an_unknown_size_goes_to_the_bucket_nearest_in_proportion() -> None:
    images = made([(10, 10), (20, 20), (40, 10), (19, 22), (80, 20), (1, 1)])
    fitted = brought_to_buckets(images, assign_buckets(images.sizes[:3], max_buckets=3))
    assert fitted.sizes[3:].tolist() == [[20, 20], [40, 10], [10, 10]]


def test_images_that_keep_their_sizes_are_left_as_they_are() -> None:
    data = dataset([(10, 10), (20, 20)], [(5, 6)], [])
    for bucketing in (Bucketing(), Bucketing(max_buckets=1, pad_to="batch")):
        assert with_policy(data, bucketing) == (data, bucketing)


def test_the_default_size_is_the_median_side_of_the_training_images_alone() -> None:
    data = dataset([(6, 8)] * 5, [(20, 22)] * 9, [(20, 22)] * 9)
    brought, chosen = with_policy(data, Bucketing(resize_policy="resize"))
    assert brought.image_size == chosen.size == (7, 7)
    assert set(map(tuple, brought.splits["test"].sizes.tolist())) == {(7, 7)}


def test_the_default_canvas_holds_the_largest_height_and_width_of_the_training_images() -> None:
    data = dataset([(10, 4), (3, 30)], [(9, 9)], [(10, 30)])
    brought, chosen = with_policy(data, Bucketing(resize_policy="pad"))
    assert brought.image_size == chosen.size == (10, 30)


def test_a_larger_validation_image_widens_the_default_canvas_and_is_told_of(
    caplog: pytest.LogCaptureFixture,
) -> None:
    data = dataset([(10, 4)], [(9, 9)], [(12, 3)])
    with caplog.at_level(logging.WARNING, logger="nnkit"):
        assert with_policy(data, Bucketing(resize_policy="pad"))[0].image_size == (12, 9)
    assert "largest training image is 10×4" in caplog.text


@pytest.mark.parametrize("size", [(11, 9), (12, 8)])
def test_a_canvas_that_does_not_hold_all_images_is_refused_with_the_one_that_does(
    size: tuple[int, int],
) -> None:
    data = dataset([(10, 4)], [(9, 9)], [(12, 3)])
    with pytest.raises(UsageError, match="12×9 pixels") as caught:
        with_policy(data, Bucketing(resize_policy="pad", size=size))
    assert "size=12x9" in caught.value.hint
    assert with_policy(data, Bucketing(resize_policy="pad", size=(12, 9)))[0].image_size == (12, 9)


@pytest.mark.parametrize("policy", ["pad", "resize"])
def test_statistics_that_were_measured_are_measured_on_the_images_that_are_trained_on(policy: str) -> None:
    data = dataset([(8, 8), (3, 4), (5, 9)], [(4, 4)], [(4, 4)])
    brought, _ = with_policy(data, Bucketing(resize_policy=policy, size=(20, 20)))  # type: ignore[arg-type]
    assert (*brought.mean, *brought.std) == pytest.approx(mean_and_std(brought))
    assert brought.mean != data.mean
    given = replace(data, mean=(0.25,), std=(2.0,), measured=False)
    kept, _ = with_policy(given, Bucketing(resize_policy=policy, size=(20, 20)))  # type: ignore[arg-type]
    assert (kept.mean, kept.std) == ((0.25,), (2.0,))


def test_the_images_of_a_transform_are_left_alone() -> None:
    data = replace(dataset([(8, 8)], [(8, 8)], []), task="transform")
    with pytest.raises(UsageError, match="transform"):
        with_policy(data, Bucketing(resize_policy="resize"))


def test_the_default_model_takes_what_becomes_of_the_sizes() -> None:
    one_size, resized = Bucketing(resize_policy="pad"), Bucketing(resize_policy="resize")
    in_buckets = Bucketing(resize_policy="resize", max_buckets=2)
    names = [default_model("varres-net", each) for each in (Bucketing(), in_buckets, resized, one_size)]
    assert names == ["varres-net", "varres-net", "mnist-convnet", "mnist-convnet"]
    assert default_model("my-net", one_size) == "my-net"


def test_padded_images_stand_in_the_middle_the_odd_pixel_to_the_right_and_below() -> None:
    sizes = [(3, 4), (8, 7), (4, 3), (3, 4), (1, 7)]
    images = made(sizes)
    padded = brought_to_one_size(images, "pad", (8, 7))
    assert padded.image_size == (8, 7)
    assert np.array_equal(padded.original_sizes, sizes)
    for index, (height, width) in enumerate(sizes):
        above, left = (8 - height) // 2, (7 - width) // 2
        sides = ((0, 0), (above, 8 - height - above), (left, 7 - width - left))
        assert np.array_equal(padded.image(index).numpy(), np.pad(images.image(index).numpy(), sides))


@pytest.mark.parametrize("size", [(7, 7), (8, 6)])
def test_an_image_that_does_not_fit_its_canvas_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="8×7 does not fit"):
        brought_to_one_size(made([(3, 4), (8, 7)]), "pad", size)


def test_resized_images_have_the_size_whatever_their_proportions() -> None:
    sizes = [(3, 4), (9, 7), (20, 30), (1, 1), (2000, 1)]
    images = made(sizes)
    resized = brought_to_one_size(images, "resize", (8, 6))
    assert resized.image_size == (8, 6)
    assert np.array_equal(resized.original_sizes, sizes)
    for index in range(len(sizes)):
        assert torch.equal(resized.image(index), resize(images.image(index)[None], (8, 6))[0])


SIDES = st.integers(2, 40)


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.tuples(st.integers(1, 60), st.integers(1, 60)), min_size=1, max_size=6),
    size=st.tuples(SIDES, SIDES),
)
def test_letterboxed_images_are_torchvisions_resized_in_proportion_in_the_middle_of_a_black_canvas(
    sizes: Sizes, size: tuple[int, int]
) -> None:
    images = made(sizes)
    boxed = brought_to_one_size(images, "letterbox", size)
    assert boxed.image_size == size
    assert np.array_equal(boxed.original_sizes, sizes)
    for index, (height, width) in enumerate(sizes):
        scale = min(size[0] / height, size[1] / width)
        inner = [max(2, math.floor(side * scale + 0.5)) for side in (height, width)]
        top, left = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2
        margins = [left, top, size[1] - inner[1] - left, size[0] - inner[0] - top]
        by_torchvision = v2.Compose([v2.Resize(inner, antialias=True), v2.Pad(margins)])
        assert torch.equal(boxed.image(index), by_torchvision(images.image(index)))


@settings(max_examples=200, deadline=None)
@given(size=st.tuples(st.integers(1, 9000), st.integers(1, 9000)), box=st.tuples(SIDES, SIDES))
def test_a_letterboxed_image_touches_two_sides_and_keeps_its_proportions_to_a_pixel(
    size: tuple[int, int], box: tuple[int, int]
) -> None:
    ((height, width),) = fitted(np.array([size]), box).tolist()
    assert 2 <= height <= box[0]
    assert 2 <= width <= box[1]
    assert height == box[0] or width == box[1]
    scale = min(box[0] / size[0], box[1] / size[1])
    for side, own in ((height, size[0]), (width, size[1])):
        assert abs(side - own * scale) <= 0.5 + 1e-9 or side == 2


def test_the_default_letterbox_is_the_median_side_and_its_statistics_are_those_of_its_images() -> None:
    data = dataset([(8, 8), (6, 12), (16, 8)], [(40, 4)], [(4, 4)])
    brought, bucketing = with_policy(data, Bucketing(resize_policy="letterbox"))
    assert bucketing == Bucketing(resize_policy="letterbox", size=(8, 8))
    assert brought.image_size == (8, 8)
    assert (*brought.mean, *brought.std) == pytest.approx(mean_and_std(brought))
    assert (brought.splits["val"].images.image(3)[:, :, [0, 1, 2, 5, 6, 7]] == 0).all()


@pytest.mark.parametrize("policy", ["resize", "pad", "letterbox"])
def test_more_than_eight_gibibytes_are_refused_before_they_are_taken(
    monkeypatch: pytest.MonkeyPatch, policy: str
) -> None:
    images = Images.from_arrays([np.zeros((3, 2, 2), np.uint8)] * 5)
    with pytest.raises(UsageError, match="14 GiB"):
        brought_to_one_size(images, policy, (20_000, 50_000))
    monkeypatch.setattr("nnkit.data.resize_policy.LIMIT_BYTES", 5 * 3 * 4 * 5)
    assert brought_to_one_size(images, policy, (4, 5)).image_size == (4, 5)
    for size in ((4, 6), (5, 5)):
        with pytest.raises(UsageError, match="GiB"):
            brought_to_one_size(images, policy, size)

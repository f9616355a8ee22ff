from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nnkit.data.bucketing.sizes import assign_buckets
from nnkit.data.images import Images
from nnkit.data.resize_policy import brought_to_buckets, brought_to_one_size, check_bucketing, usual_model
from nnkit.data.resizing import resize
from nnkit.errors import UsageError
from nnkit.types import Bucketing

SIZES = st.lists(st.tuples(st.integers(1, 30), st.integers(1, 30)), min_size=2, max_size=12)


def made(sizes: list[tuple[int, int]]) -> Images:
    rng = np.random.default_rng(0)
    return Images.from_arrays([rng.integers(0, 256, size, np.uint8) for size in sizes])


@settings(max_examples=40, deadline=None)
@given(sizes=SIZES, num_train=st.integers(1, 12), max_buckets=st.integers(1, 4))
def test_every_image_is_resized_to_a_shape_of_the_training_images_buckets(
    sizes: list[tuple[int, int]], num_train: int, max_buckets: int
) -> None:
    images, train = made(sizes), np.arange(min(num_train, len(sizes)))
    fitted = brought_to_buckets(images, train, Bucketing(max_buckets=max_buckets, fit="resize"))
    buckets = assign_buckets(images.sizes[train], max_buckets=max_buckets)
    shapes = {tuple(shape) for shape in np.maximum(buckets.shapes, 2).tolist()}
    assert {tuple(size) for size in fitted.sizes.tolist()} <= shapes
    assert np.array_equal(fitted.own_sizes, images.sizes)
    for index in range(len(images)):
        height, width = fitted.sizes[index].tolist()
        expected = resize(images.image(index)[None], (height, width))[0]
        assert torch.equal(fitted.image(index), expected)
    for index in train:
        assert (fitted.sizes[index] >= images.sizes[index]).all()


def test_an_unknown_size_goes_to_the_bucket_nearest_in_proportion() -> None:
    images = made([(10, 10), (20, 20), (40, 10), (19, 22), (80, 20), (1, 1)])
    fitted = brought_to_buckets(images, np.arange(3), Bucketing(max_buckets=3, fit="resize"))
    assert fitted.sizes[3:].tolist() == [[20, 20], [40, 10], [10, 10]]


def test_padded_fits_keep_the_images_as_they_are() -> None:
    images = made([(10, 10), (20, 20)])
    assert brought_to_buckets(images, np.arange(2), Bucketing(max_buckets=1)) is images


def test_each_mode_has_a_model_that_takes_its_sizes() -> None:
    assert [usual_model(mode) for mode in ("bucket", "resize", "pad")] == [  # type: ignore[arg-type]
        "varres-net",
        "mnist-convnet",
        "mnist-convnet",
    ]


@pytest.mark.parametrize("mode", ["resize", "pad"])
def test_images_of_one_size_have_no_buckets_to_set(mode: str) -> None:
    told = Bucketing(max_buckets=3, leftovers="drop")
    assert check_bucketing(told, "bucket") is told
    assert check_bucketing(Bucketing(), mode) == Bucketing()  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=f"mode={mode}.* max_buckets, leftovers "):
        check_bucketing(told, mode)  # type: ignore[arg-type]


def test_padded_images_stand_in_the_middle_the_odd_pixel_to_the_right_and_below() -> None:
    sizes = [(3, 4), (8, 7), (4, 3), (3, 4), (1, 7)]
    images = made(sizes)
    padded = brought_to_one_size(images, "pad", (8, 7))
    assert padded.image_size == (8, 7)
    assert np.array_equal(padded.own_sizes, sizes)
    for index, (height, width) in enumerate(sizes):
        above, left = (8 - height) // 2, (7 - width) // 2
        sides = ((0, 0), (above, 8 - height - above), (left, 7 - width - left))
        assert np.array_equal(padded.image(index).numpy(), np.pad(images.image(index).numpy(), sides))


@pytest.mark.parametrize("size", [(7, 7), (8, 6)])
def test_an_image_that_does_not_fit_its_canvas_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="8×7 does not fit"):
        brought_to_one_size(made([(3, 4), (8, 7)]), "pad", size)


def test_resized_images_have_the_size_whatever_their_proportions() -> None:
    sizes = [(3, 4), (9, 7), (20, 30)]
    images = made(sizes)
    resized = brought_to_one_size(images, "resize", (8, 6))
    assert resized.image_size == (8, 6)
    assert np.array_equal(resized.own_sizes, sizes)
    for index in range(3):
        assert torch.equal(resized.image(index), resize(images.image(index)[None], (8, 6))[0])


@pytest.mark.parametrize("mode", ["resize", "pad"])
def test_more_than_eight_gibibytes_are_refused_before_they_are_taken(
    monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    images = Images.from_arrays([np.zeros((3, 2, 2), np.uint8)] * 5)
    with pytest.raises(UsageError, match="14 GiB"):
        brought_to_one_size(images, mode, (20_000, 50_000))  # type: ignore[arg-type]
    monkeypatch.setattr("nnkit.data.resize_policy.LIMIT_BYTES", 5 * 3 * 4 * 5)
    assert brought_to_one_size(images, mode, (4, 5)).image_size == (4, 5)  # type: ignore[arg-type]
    for size in ((4, 6), (5, 5)):
        with pytest.raises(UsageError, match="GiB"):
            brought_to_one_size(images, mode, size)  # type: ignore[arg-type]

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nnkit.data.buckets.sizes import assign_buckets
from nnkit.data.images import Images
from nnkit.data.modes import brought_to_buckets
from nnkit.data.resizing import resize
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

"""The resize policy of `Bucketing`: images are kept, resized, letterboxed, or padded to one size."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from nnkit.data.bucketing.sizes import Buckets, assign_buckets
from nnkit.data.images import Indices, largest_size
from nnkit.data.splits import measured
from nnkit.errors import UsageError
from nnkit.types import MIN_SIDE, Bucketing, Data, ImageStore, Size

logger = logging.getLogger("nnkit")

LIMIT_BYTES = 8 << 30
_ONE_SIZE = {"varres-net": "mnist-convnet"}


def default_model(name: str, bucketing: Bucketing) -> str:
    """A dataset's default model, or nnkit's own for one size where all images are brought to one."""
    return _ONE_SIZE.get(name, name) if bucketing.makes_one_size else name


def with_policy(data: Data, bucketing: Bucketing) -> tuple[Data, Bucketing]:
    """The data as the policy leaves its images, and the bucketing with the `size` that was chosen.

    Mean and standard deviation are computed again where they were computed from the pixels. `UsageError` for
    a transform, whose targets are made of the images as they are; for an image that does not fit its canvas;
    and where the result takes more than 8 GiB of memory.
    """
    if bucketing.resize_policy == "keep":
        return data, bucketing
    if data.task != "classification":
        raise UsageError(
            f"resize_policy={bucketing.resize_policy}: the targets of a transform are made of the images as "
            "they are",
            hint="leave resize_policy out",
        )
    if bucketing.makes_one_size:
        size = _one_size(data, bucketing)
        bucketing = replace(bucketing, size=size)
        brought = _brought(data, lambda images: brought_to_one_size(images, bucketing.resize_policy, size))
    else:
        buckets = assign_buckets(
            data.splits["train"].sizes, tolerance=bucketing.tolerance, max_buckets=bucketing.max_buckets
        )
        brought = _brought(data, lambda images: brought_to_buckets(images, buckets))
    return (measured(brought) if data.measured else brought), bucketing


def _brought(data: Data, bring: Callable[[ImageStore], ImageStore]) -> Data:
    """The data with each of its sources of images brought to other sizes, once."""
    sources = {id(split.images): split.images for split in data.splits.values()}
    made = {key: bring(images) for key, images in sources.items()}
    splits = {name: replace(split, images=made[id(split.images)]) for name, split in data.splits.items()}
    sizes = {images.image_size for images in made.values()}
    return replace(data, splits=splits, image_size=sizes.pop() if len(sizes) == 1 else None)


def _one_size(data: Data, bucketing: Bucketing) -> Size:
    sizes = {name: split.sizes for name, split in data.splits.items() if len(split)}
    if "train" not in sizes:
        raise UsageError("there is no training image to take the size from", hint="give size=28x28")
    if bucketing.resize_policy != "pad":
        side = max(MIN_SIDE, int(np.median(sizes["train"])))
        return bucketing.size or (side, side)
    height, width = largest_size(np.concatenate(list(sizes.values())))
    if bucketing.size is not None:
        if height > bucketing.size[0] or width > bucketing.size[1]:
            raise UsageError(
                "resize_policy=pad: size is {}×{}, the images have up to ".format(*bucketing.size)
                + f"{height}×{width} pixels",
                hint=f"give size={height}x{width}, or leave size out, or set resize_policy=resize",
            )
        return bucketing.size
    largest = largest_size(sizes["train"])
    if largest != (height, width):
        logger.warning(
            "resize_policy=pad: the largest training image is %d×%d, a validation or test image is larger: "
            "the canvas is %d×%d", *largest, height, width,
        )  # fmt: skip
    return height, width


def brought_to_buckets(images: ImageStore, buckets: Buckets) -> ImageStore:
    """Each image resized to the shape of its bucket, of those of the training images.

    An image of a size that none of them has goes to the bucket whose sides are nearest to its own in
    proportion, so that validation and test images have the shapes that the model was trained on. No side
    becomes less than 2 pixels.
    """
    sizes, size_of = np.unique(images.sizes, axis=0, return_inverse=True)
    shapes = np.maximum(_shapes_of(sizes, buckets), MIN_SIDE)
    return images.resized(shapes[size_of.reshape(-1)])


def _shapes_of(sizes: Indices, buckets: Buckets) -> Indices:
    """The shape that each size (D, 2) is brought to, (D, 2)."""
    known = {(h, w): k for (h, w), k in zip(buckets.sizes.tolist(), buckets.bucket_of_size, strict=True)}
    in_logs = np.log(buckets.shapes)
    chosen = [
        known.get((h, w), int(np.abs(in_logs - np.log((h, w))).sum(axis=1).argmin()))
        for h, w in sizes.tolist()
    ]
    return buckets.shapes[chosen]


def brought_to_one_size(images: ImageStore, policy: str, size: Size) -> ImageStore:
    """The same images in the same order, all of `size` (height, width).

    "resize": bilinear with antialiasing on 8-bit values, rounded, whatever the proportions; "pad": each in
    the middle of a black canvas, the odd pixel to the right and below; "letterbox": resized as `fitted` says,
    then in the middle of the canvas. `ValueError` where one does not fit, `UsageError` where the result takes
    more than 8 GiB of memory.
    """
    num_bytes = len(images) * images.channels * size[0] * size[1]
    if images.in_memory and num_bytes > LIMIT_BYTES:
        raise UsageError(
            f"{len(images)} images of {size[0]}×{size[1]} take {num_bytes / 2**30:.0f} GiB of memory",
            hint="leave out resize_policy, or choose a smaller size with resize_policy=resize",
        )
    if policy == "resize":
        return images.resized(np.full_like(images.sizes, size))
    if policy == "letterbox":
        images = images.resized(fitted(images.sizes, size))
    return images.on_canvas(size)


def fitted(sizes: Indices, size: Size) -> Indices:
    """The largest height × width in each size's proportions that fits `size`: (N, 2), rounded to pixels.

    No side becomes less than 2 pixels, whatever the proportions.
    """
    heights, widths = sizes.T
    bound_by_height = heights * size[1] >= widths * size[0]
    shapes = np.stack(
        [
            np.where(bound_by_height, size[0], _rounded(heights * size[1], widths)),
            np.where(bound_by_height, _rounded(widths * size[0], heights), size[1]),
        ],
        axis=1,
    )
    found: Indices = np.maximum(shapes, MIN_SIDE)
    return found


def _rounded(numerators: Indices, denominators: Indices) -> Indices:
    """The nearest whole number to each quotient, half upwards."""
    found: Indices = (2 * numerators + denominators) // (2 * denominators)
    return found

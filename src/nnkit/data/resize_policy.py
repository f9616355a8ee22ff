"""What is made of images of several sizes: kept for buckets, resized, or padded to one size."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch

from nnkit.data.bucketing.sizes import Buckets, assign_buckets
from nnkit.data.images import Images, Indices
from nnkit.data.resizing import MIN_SIDE
from nnkit.errors import UsageError
from nnkit.types import EXACT_SIZES, Bucketing, Size

Mode = Literal["bucket", "resize", "pad"]

LIMIT_BYTES = 8 << 30


def usual_model(mode: Mode) -> str:
    """The built-in model that suits a mode: `varres-net` takes any size, `mnist-convnet` one."""
    return "varres-net" if mode == "bucket" else "mnist-convnet"


def check_bucketing(bucketing: Bucketing, mode: Mode) -> Bucketing:
    """The bucket settings; `UsageError` for any but the usual ones where the mode makes no buckets."""
    if mode != "bucket" and bucketing != EXACT_SIZES:
        changed = [name for name, value in vars(bucketing).items() if value != getattr(EXACT_SIZES, name)]
        raise UsageError(
            f"mode={mode} brings all images to one size: no bucket is left to set {', '.join(changed)} for",
            hint=f"leave {', '.join(changed)} out, or set mode=bucket",
        )
    return bucketing


def brought_to_buckets(images: Images, train: Indices, bucketing: Bucketing) -> Images:
    """With fit=resize, each image resized to the shape of its bucket; else the images as they are.

    The buckets are those of the training images, at the positions `train`. An image of a size that none of
    them has goes to the bucket whose sides are nearest to its own in proportion, so that validation and test
    images have the shapes that the model was trained on. No side becomes less than 2 pixels.
    """
    if bucketing.fit == "pad":
        return images
    buckets = assign_buckets(
        images.sizes[train], tolerance=bucketing.tolerance, max_buckets=bucketing.max_buckets
    )
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


def brought_to_one_size(images: Images, mode: Mode, size: Size) -> Images:
    """The same images in the same order, all of `size` (height, width).

    "resize": bilinear with antialiasing on 8-bit levels, rounded, whatever the proportions; "pad": each in
    the middle of a black canvas, the odd pixel to the right and below. `ValueError` where one does not fit,
    `UsageError` where the result takes more than 8 GiB of memory.
    """
    num_bytes = len(images) * images.channels * size[0] * size[1]
    if images.in_memory and num_bytes > LIMIT_BYTES:
        raise UsageError(
            f"{len(images)} images of {size[0]}×{size[1]} take {num_bytes / 2**30:.0f} GiB of memory",
            hint="keep their sizes with mode=bucket, or choose a smaller size with mode=resize",
        )
    if mode == "resize":
        return images.resized(np.full_like(images.sizes, size))
    return _on_canvas(images, size)


def _on_canvas(images: Images, size: Size) -> Images:
    result = torch.zeros((len(images), images.channels, *size), dtype=torch.uint8)
    for number, ((height, width), group) in enumerate(images.groups.items()):
        indices = torch.from_numpy(np.flatnonzero(images.group_of == number))
        top, left = (size[0] - height) // 2, (size[1] - width) // 2
        if top < 0 or left < 0:
            raise ValueError(f"an image of {height}×{width} does not fit {size[0]}×{size[1]}")
        result[indices, :, top : top + height, left : left + width] = group
    return Images.from_tensor(result, own_sizes=images.own_sizes)

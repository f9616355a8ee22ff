"""What is made of images of several sizes: kept for buckets, resized, or padded to one size."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
import torchvision.transforms.v2.functional as F

from nnkit.data.images import Images
from nnkit.errors import UsageError
from nnkit.types import Size

Mode = Literal["bucket", "resize", "pad"]

CHUNK_BYTES = 4 << 20
LIMIT_BYTES = 8 << 30


def usual_model(mode: Mode) -> str:
    """The built-in model that suits a mode: `varres-net` takes any size, `mnist-convnet` one."""
    return "varres-net" if mode == "bucket" else "mnist-convnet"


def brought_to_one_size(images: Images, mode: Mode, size: Size) -> Images:
    """The same images in the same order, all of `size` (height, width).

    "resize": bilinear with antialiasing on 8-bit levels, rounded, whatever the proportions; "pad": each in
    the middle of a black canvas, the odd pixel to the right and below. `ValueError` where one does not fit,
    `UsageError` where the result takes more than 8 GiB.
    """
    num_bytes = len(images) * images.channels * size[0] * size[1]
    if num_bytes > LIMIT_BYTES:
        raise UsageError(
            f"{len(images)} images of {size[0]}×{size[1]} take {num_bytes / 2**30:.0f} GiB of memory",
            hint="keep their sizes with mode=bucket, or choose a smaller size with mode=resize",
        )
    result = torch.zeros((len(images), images.channels, *size), dtype=torch.uint8)
    for number, ((height, width), group) in enumerate(images.groups.items()):
        indices = torch.from_numpy(np.flatnonzero(images.group_of == number))
        step = max(1, CHUNK_BYTES // max(1, images.channels * height * width))
        for start in range(0, len(group), step):
            rows, chunk = indices[start : start + step], group[start : start + step]
            if mode == "resize":
                result[rows] = F.resize(chunk, list(size), antialias=True)
                continue
            top, left = (size[0] - height) // 2, (size[1] - width) // 2
            if top < 0 or left < 0:
                raise ValueError(f"an image of {height}×{width} does not fit {size[0]}×{size[1]}")
            result[rows, :, top : top + height, left : left + width] = chunk
    return Images.from_tensor(result, own_sizes=images.own_sizes)

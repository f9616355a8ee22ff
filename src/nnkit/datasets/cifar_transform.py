"""Images and the output of a pipeline of transforms: the task of learning the transform."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import numpy as np
import torch

from nnkit.data.cifar10 import read_cifar10
from nnkit.data.images import Images, Indices
from nnkit.data.resize_policy import LIMIT_BYTES
from nnkit.data.sources import find_source, load_source
from nnkit.data.splits import check_fraction, check_seed, folder_parts, random_parts
from nnkit.data.synthetic import smooth_images
from nnkit.errors import UsageError
from nnkit.surrogates.pipelines import Backend, DType, Pipeline, Shape, parse_pipeline
from nnkit.types import Data, DataPlace, Size, Split, Task

logger = logging.getLogger("nnkit")

SYNTHETIC = {"train": 9_000, "val": 1_000, "test": 2_000}
SYNTHETIC_SIDE = 32

Found = tuple[Images, dict[str, Indices], tuple[str, ...]]

SEPARABLE_STEPS = frozenset(
    {"resize", "resize_shortest", "grayscale", "hflip", "vflip", "crop", "pad", "blur"}
)
"""Steps that act on rows, columns and channels by one matrix each, without an offset, a clamp or a turn."""


class CifarTransform:
    """Three-channel images as inputs, and the output of `pipeline` as targets, float32.

    `source`: "cifar10" is torchvision's CIFAR-10 in the data root; "synthetic" makes 9,000 / 1,000 / 2,000
    smooth random images of 32×32 from `seed`, without a file; anything else is the path of a folder or
    archive of images of one size, looked for here and then in the data root, whose folders `train/`, `val/`
    (or `valid/`, `validation/`) and `test/` are the splits. `pipeline`: a name or steps, such as
    `resize(28),grayscale,hflip,vflip`, which is the default, "reference". The step `resize(N)` makes N×N
    whatever the proportions; `resize_shortest(N)` brings the shorter side to N and keeps them, as
    torchvision's `Resize(N)` does. `dtype`, `antialias` and `backend` choose how it is computed.
    `val_fraction` of the training images, drawn by `seed`, validate.
    """

    task: Task = "transform"

    def __init__(
        self,
        *,
        source: str = "cifar10",
        pipeline: str = "reference",
        dtype: DType | None = None,
        antialias: bool = True,
        backend: Backend = "tensor",
        val_fraction: float = 0.1,
        seed: int = 0,
    ) -> None:
        if not source.strip():
            raise UsageError("source is empty", hint="write source=cifar10, source=synthetic or a path")
        self.source = source
        self.pipeline = parse_pipeline(pipeline, dtype=dtype, antialias=antialias, backend=backend)
        self.val_fraction = check_fraction(val_fraction)
        self.seed = check_seed(seed)

    @property
    def default_model(self) -> str:
        """`separable` where the pipeline is: it has a few thousand parameters at any size.

        `conv-linear` has one for each pair of input and output pixels: 629 million for 224×224 to 112×112.
        """
        steps = {step.name for step in self.pipeline.steps}
        is_separable = self.pipeline.dtype == "float" and steps <= SEPARABLE_STEPS
        return "separable" if is_separable else "conv-linear"

    @property
    def image_shape(self) -> Shape | None:
        """(C, H, W) of the images, where the source determines it: "cifar10" and "synthetic"."""
        known = self.source in ("cifar10", "synthetic")
        return (3, SYNTHETIC_SIDE, SYNTHETIC_SIDE) if known else None

    def load(self, place: DataPlace) -> Data:
        """Read or make the images, uint8 (N, C, H, W), and compute the targets, float32 (N, C', H', W').

        `DataError` where CIFAR-10 is missing or damaged; `UsageError` for a path that is not there, images
        of several sizes, or a pipeline that cannot run on them.
        """
        images, parts, notes = self._find(place)
        size = images.image_size
        if size is None:
            raise UsageError(
                f"{self.source} has images of {len(images.groups)} sizes: {_listed(images)}",
                hint="a transform needs images of one size",
            )
        channels, *target_size = self.pipeline.output_shape((images.channels, *size))
        num_bytes = 4 * len(images) * channels * target_size[0] * target_size[1]
        if num_bytes > LIMIT_BYTES:
            raise UsageError(
                f"the targets of {len(images)} images, {channels} × {target_size[0]}×{target_size[1]} floats "
                f"each, take {num_bytes / 2**30:.0f} GiB of memory",
                hint="choose a pipeline that makes smaller images, or fewer images",
            )
        targets = self.pipeline.apply(images.groups[size])
        return Data(
            task="transform",
            splits={name: Split(images, targets, indices) for name, indices in parts.items()},
            in_channels=images.channels,
            image_size=size,
            target_channels=channels,
            target_size=(target_size[0], target_size[1]),
            mean=(0.0,) * images.channels,
            std=(1.0,) * images.channels,
            notes=(f"targets: {self.pipeline}", *_stretched(self.pipeline, size), *notes),
        )

    def _find(self, place: DataPlace) -> Found:
        if self.source == "cifar10":
            return self._cifar10(place)
        if self.source == "synthetic":
            return self._synthetic()
        path = find_source(self.source, place.root)
        source = load_source(path, place.cache, channels=3)
        parts, notes = folder_parts(source.names, self.val_fraction, self.seed)
        for note in notes:
            logger.warning("%s: %s", path, note)
        return source.images, parts, (*notes, *(why for _, why in source.bad))

    def _cifar10(self, place: DataPlace) -> Found:
        images, num_train = read_cifar10(place)
        train, val = random_parts(np.arange(num_train), self.val_fraction, self.seed)
        test = np.arange(num_train, len(images))
        return Images.from_tensor(images), {"train": train, "val": val, "test": test}, ()

    def _synthetic(self) -> Found:
        count = sum(SYNTHETIC.values())
        images = smooth_images(count, SYNTHETIC_SIDE, rng=np.random.default_rng(self.seed))
        num_train = SYNTHETIC["train"] + SYNTHETIC["val"]
        train, val = random_parts(np.arange(num_train), self.val_fraction, self.seed)
        parts = {"train": train, "val": val, "test": np.arange(num_train, count)}
        return Images.from_tensor(torch.from_numpy(images)), parts, ("smooth random images, no photographs",)


def _stretched(pipeline: Pipeline, size: Size) -> Iterator[str]:
    """A note on each `resize(N)` that images which are not square come to."""
    for step, (height, width) in zip(pipeline.steps, [size, *pipeline.sizes(size)], strict=False):
        if step.name == "resize" and len(step.values) == 1 and height != width:
            side = step.values[0]
            yield (
                f"{step} makes {side}×{side} of {height}×{width}, whatever the proportions: "
                f"resize_shortest({side}) keeps them"
            )


def _listed(images: Images, most: int = 8) -> str:
    listed = [f"{len(group)} of {height}×{width}" for (height, width), group in images.groups.items()]
    return ", ".join(listed[:most]) + (", …" if len(listed) > most else "")

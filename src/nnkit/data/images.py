"""Images held in memory as uint8 tensors, one tensor per size, and gathered by the batch.

A batch of one size is one row lookup and one gather, on whatever device the images are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nnkit.data.resizing import resize
from nnkit.types import Size

Indices = NDArray[np.int64]
Request = tuple[Indices, Size | None]
"""A batch that is asked for: positions (B,) in the source, and the height × width to pad to."""

Padded = tuple[Tensor, Tensor | None]
"""A batch: uint8 (B, C, H, W), and where in it image is: bool (B, 1, H, W), None for everywhere."""

CHUNK_BYTES = 4 << 20
"""Images resized at once: what fits the processor's cache is quickest."""


class Images:
    """N uint8 images of C channels, in one or several sizes.

    `groups` maps height × width to the images of that size, uint8 (n, C, h, w), in the order of the source;
    `group_of` (N,) says for each image of the source which of the groups holds it, counted in the mapping's
    order. `ValueError` where these do not fit together.
    """

    in_memory = True
    """Whether the pixels are held here; else each batch is read from files when it is asked for."""

    def __init__(self, groups: Mapping[Size, Tensor], group_of: NDArray[np.integer]) -> None:
        self.groups: dict[Size, Tensor] = dict(groups)
        self._group_of: Indices = np.ascontiguousarray(group_of, dtype=np.int64)
        self.channels: int = _checked_channels(self.groups)
        self._tensors = list(self.groups.values())
        self._row_of = _rows(self._group_of, [len(tensor) for tensor in self._tensors])
        self.sizes: Indices = np.array(list(self.groups), np.int64).reshape(-1, 2)[self._group_of]
        self.own_sizes: Indices = self.sizes
        """Height and width of each image before it was resized or padded, (N, 2): what results go by."""

    @classmethod
    def from_tensor(cls, images: Tensor, *, own_sizes: Indices | None = None) -> Images:
        """Images of one size, uint8 (N, C, H, W), perhaps made of others; the tensor's memory is shared."""
        if images.ndim != 4:
            raise ValueError(f"images must be (N, C, H, W), got {tuple(images.shape)}")
        size = (images.shape[2], images.shape[3])
        made = cls({size: images}, np.zeros(len(images), np.int64))
        if own_sizes is not None:
            made.own_sizes = own_sizes
        return made

    @classmethod
    def from_arrays(cls, images: Sequence[NDArray[np.uint8]]) -> Images:
        """Images of any sizes, each uint8 (C, H, W) or (H, W), sorted into groups by size.

        At least one image; `ValueError` where none is given or the channels differ.
        """
        shaped = [image if image.ndim == 3 else image[None] for image in images]
        if not shaped:
            raise ValueError("no images were given")
        if len({image.shape[0] for image in shaped}) > 1:
            raise ValueError("the images have different numbers of channels")
        sizes = np.array([image.shape[1:] for image in shaped], np.int64)
        distinct, group_of = np.unique(sizes, axis=0, return_inverse=True)
        group_of = group_of.reshape(-1)
        groups = {
            (int(height), int(width)): torch.from_numpy(
                np.stack([shaped[index] for index in np.flatnonzero(group_of == group)])
            )
            for group, (height, width) in enumerate(distinct)
        }
        return cls(groups, group_of)

    def __len__(self) -> int:
        return len(self._group_of)

    def __repr__(self) -> str:
        sizes = ", ".join(f"{len(tensor)} of {h}×{w}" for (h, w), tensor in self.groups.items())
        return f"Images({self.channels} channels: {sizes})"

    @property
    def group_of(self) -> Indices:
        """Which group holds each image, int64 (N,), counted in the order of `groups`."""
        return self._group_of

    @property
    def image_size(self) -> Size | None:
        """The one size of all images; None where there are several."""
        return next(iter(self.groups)) if len(self.groups) == 1 else None

    @property
    def device(self) -> torch.device:
        """Where the images are."""
        return self._tensors[0].device

    def image(self, index: int) -> Tensor:
        """One image in its own size, uint8 (C, H, W); it shares memory with the others."""
        image: Tensor = self._tensors[int(self._group_of[index])][int(self._row_of[index])]
        return image

    def to(self, device: torch.device | str) -> Images:
        """The same images on another device; the lookups are shared."""
        moved = object.__new__(type(self))
        moved.__dict__.update(self.__dict__)
        moved.groups = {size: tensor.to(device) for size, tensor in self.groups.items()}
        moved._tensors = list(moved.groups.values())
        return moved

    def resized(self, shapes: Indices) -> Images:
        """The same images in the same order, image i resized to `shapes[i]`, (N, 2), as `resize` does it."""
        distinct, group_of = np.unique(shapes, axis=0, return_inverse=True)
        group_of = group_of.reshape(-1)
        groups = {}
        for group, (height, width) in enumerate(distinct.tolist()):
            groups[height, width] = self._resized_part(np.flatnonzero(group_of == group), (height, width))
        made = Images(groups, group_of)
        made.own_sizes = self.own_sizes
        return made

    def on_canvas(self, size: Size) -> Images:
        """The same images in the same order, each in the middle of a black canvas of `size`, height × width.

        An odd pixel is to the right and below. `ValueError` where an image is larger than the canvas.
        """
        result = torch.zeros((len(self), self.channels, *size), dtype=torch.uint8)
        for number, ((height, width), group) in enumerate(self.groups.items()):
            indices = torch.from_numpy(np.flatnonzero(self._group_of == number))
            top, left = middle((height, width), size)
            result[indices, :, top : top + height, left : left + width] = group
        return Images.from_tensor(result, own_sizes=self.own_sizes)

    def remembered(self, name: str, indices: Indices, count: Callable[[], Tensor]) -> Tensor:
        """What `count` gives for some of the images: counted anew, as the pixels are at hand."""
        return count()

    def _resized_part(self, indices: Indices, size: Size) -> Tensor:
        """Some of the images, all resized to one size: uint8 (n, C, *size)."""
        result = torch.empty((len(indices), self.channels, *size), dtype=torch.uint8)
        group_of = self._group_of[indices]
        for group in np.unique(group_of):
            tensor, places = self._tensors[group], np.flatnonzero(group_of == group)
            step = max(1, CHUNK_BYTES // max(1, tensor[0].numel()))
            for start in range(0, len(places), step):
                chunk = places[start : start + step]
                rows = torch.from_numpy(self._row_of[indices[chunk]])
                result[torch.from_numpy(chunk)] = resize(tensor.index_select(0, rows), size)
        return result

    def batches(self, requests: Iterable[Request]) -> Iterator[Padded]:
        """The batches that are asked for, in turn, each made when it is wanted: see `take`."""
        for indices, size in requests:
            yield self.take(indices, size)

    def take(self, indices: Indices, size: Size | None = None) -> Padded:
        """A batch: uint8 (B, C, H, W), and where in it image is: bool (B, 1, H, W), None for everywhere.

        `indices` (B,) are positions in the source, from 0. Images smaller than `size` (default: the largest
        height and width among them) stand at the top left, zeros fill the rest. `ValueError` where an image
        is larger than `size`.
        """
        if len(indices) == 0:
            height, width = size or self.image_size or (0, 0)
            return torch.zeros((0, self.channels, height, width), dtype=torch.uint8, device=self.device), None
        group = 0 if len(self._tensors) == 1 else self._common_group(indices)
        if group is None:
            return self._take_mixed(indices, size or _largest(self.sizes[indices]))
        rows = self._row_of[indices]
        tensor = self._tensors[group]
        images = tensor.index_select(0, _on(tensor.device, rows))
        own = (tensor.shape[2], tensor.shape[3])
        if size is None or size == own:
            return images, None
        return self._take_mixed(indices, size)

    def _common_group(self, indices: Indices) -> int | None:
        group_of = self._group_of[indices]
        first = int(group_of[0])
        return first if bool((group_of == first).all()) else None

    def _take_mixed(self, indices: Indices, size: Size) -> tuple[Tensor, Tensor]:
        largest = _largest(self.sizes[indices])
        if largest[0] > size[0] or largest[1] > size[1]:
            raise ValueError(f"images of up to {largest[0]}×{largest[1]} do not fit {size[0]}×{size[1]}")
        shape = (len(indices), self.channels, *size)
        batch = torch.zeros(shape, dtype=torch.uint8, device=self.device)
        mask = torch.zeros((len(indices), 1, *size), dtype=torch.bool, device=self.device)
        group_of, row_of = self._group_of[indices], self._row_of[indices]
        for group in np.unique(group_of):
            places = np.flatnonzero(group_of == group)
            tensor = self._tensors[group]
            height, width = tensor.shape[2:]
            where = _on(tensor.device, places)
            batch[where, :, :height, :width] = tensor.index_select(0, _on(tensor.device, row_of[places]))
            mask[where, :, :height, :width] = True
        return batch, mask


def middle(image: Size, canvas: Size) -> tuple[int, int]:
    """The first row and column of an image in the middle of a canvas; `ValueError` where it does not fit."""
    top, left = ((outer - inner) // 2 for inner, outer in zip(image, canvas, strict=True))
    if top < 0 or left < 0:
        raise ValueError(f"an image of {image[0]}×{image[1]} does not fit {canvas[0]}×{canvas[1]}")
    return top, left


def _on(device: torch.device, indices: Indices) -> Tensor:
    return torch.from_numpy(indices).to(device, non_blocking=True)


def _largest(sizes: Indices) -> Size:
    height, width = sizes.max(axis=0)
    return int(height), int(width)


def _rows(group_of: Indices, lengths: Sequence[int]) -> Indices:
    """Each image's row within its group: how many of the same group stand before it."""
    if len(group_of) and (group_of.min() < 0 or group_of.max() >= len(lengths)):
        raise ValueError("an image is said to be in a group that is not there")
    if np.bincount(group_of, minlength=len(lengths)).tolist() != list(lengths):
        raise ValueError("the groups hold other numbers of images than are said to be in them")
    if len(lengths) == 1:
        return np.arange(len(group_of), dtype=np.int64)
    order = np.argsort(group_of, kind="stable")
    rows = np.empty(len(group_of), np.int64)
    rows[order] = np.concatenate([np.arange(length) for length in lengths])
    return rows


def _checked_channels(groups: Mapping[Size, Tensor]) -> int:
    if not groups:
        raise ValueError("no group of images was given")
    for size, tensor in groups.items():
        if tensor.dtype != torch.uint8:
            raise ValueError(f"images must be uint8, got {tensor.dtype}")
        if tensor.ndim != 4 or tuple(tensor.shape[2:]) != size:
            raise ValueError(f"images of size {size} must be (n, C, {size[0]}, {size[1]})")
    channels = {tensor.shape[1] for tensor in groups.values()}
    if len(channels) > 1:
        raise ValueError("the groups have different numbers of channels")
    return channels.pop()

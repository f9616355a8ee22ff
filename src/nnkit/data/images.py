"""Images held in memory: one flat uint8 buffer, sorted by size, and batches gathered from it on its device.

A batch of one size is one row lookup. A batch of several sizes is one gather, too: of the windows of the
buffer that begin where each row of each image begins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nnkit.data.resizing import resize
from nnkit.types import Padded, Size

Indices = NDArray[np.int64]
Request = tuple[Indices, Size | None]
"""A batch that is asked for: positions (B,) in the source, and the height × width to pad to."""

CHUNK_BYTES = 4 << 20
"""Images resized at once: what fits the processor's cache is quickest."""


class Images:
    """N uint8 images of C channels, in one or several sizes: an `ImageStore` in memory.

    `groups` maps height × width to the images of that size, uint8 (n, C, h, w), in the order of the source;
    `group_of` (N,) says for each image of the source which of the groups holds it, counted in the mapping's
    order. Images of one size share the tensor's memory; those of several are copied into one buffer.
    `ValueError` where these are inconsistent.
    """

    in_memory = True

    def __init__(self, groups: Mapping[Size, Tensor], group_of: NDArray[np.integer]) -> None:
        channels = _checked_channels(groups)
        sizes, tensors = list(groups), list(groups.values())
        _check_groups(np.asarray(group_of, dtype=np.int64), [len(tensor) for tensor in tensors])
        if len(tensors) == 1:
            buffer = tensors[0].contiguous().view(-1)
        else:
            buffer = torch.empty(
                buffer_length(sizes, [len(tensor) for tensor in tensors], channels),
                dtype=torch.uint8,
                device=tensors[0].device,
            )
        self._set(buffer, sizes, group_of, channels)
        if len(tensors) > 1:
            for part, tensor in zip(self._tensors, tensors, strict=True):
                part.copy_(tensor)

    def _set(
        self, buffer: Tensor, sizes: Sequence[Size], group_of: NDArray[np.integer], channels: int
    ) -> None:
        self.channels = channels
        self.buffer = buffer
        self._distinct: Indices = np.array(sizes, np.int64).reshape(-1, 2)
        self._group_of: Indices = np.ascontiguousarray(group_of, dtype=np.int64)
        counts = np.bincount(self._group_of, minlength=len(sizes))
        self._row_of = _rows(self._group_of, counts)
        self._counts = counts.tolist()
        self.sizes: Indices = self._distinct[self._group_of]
        self.original_sizes: Indices = self.sizes
        self._view_groups()

    def _view_groups(self) -> None:
        """The images of each size, as views of the buffer; what mixed batches need is made when asked for."""
        self.groups: dict[Size, Tensor] = {}
        self._starts: list[int] = []
        at = 0
        for (height, width), count in zip(self._distinct.tolist(), self._counts, strict=True):
            length = count * self.channels * height * width
            part = self.buffer.narrow(0, at, length)
            self.groups[height, width] = part.view(-1, self.channels, height, width)
            self._starts.append(at)
            at += length
        self._tensors = list(self.groups.values())
        self._windows: _Windows | None = None

    @classmethod
    def from_buffer(
        cls, buffer: Tensor, sizes: Sequence[Size], group_of: NDArray[np.integer], channels: int
    ) -> Images:
        """Images of an existing flat uint8 buffer, those of each size after one another.

        The buffer is `buffer_length` long and is not copied: one that is mapped from a file shares its pages
        with other processes.
        """
        made = object.__new__(cls)
        made._set(buffer, sizes, group_of, channels)
        return made

    @classmethod
    def from_tensor(cls, images: Tensor, *, original_sizes: Indices | None = None) -> Images:
        """Images of one size, uint8 (N, C, H, W), perhaps made of others; the tensor's memory is shared."""
        if images.ndim != 4:
            raise ValueError(f"images must be (N, C, H, W), got {tuple(images.shape)}")
        size = (images.shape[2], images.shape[3])
        made = cls({size: images}, np.zeros(len(images), np.int64))
        if original_sizes is not None:
            made.original_sizes = original_sizes
        return made

    @classmethod
    def from_arrays(cls, images: Sequence[NDArray[np.uint8]]) -> Images:
        """Images of any sizes, each uint8 (C, H, W) or (H, W), sorted by size.

        At least one image; `ValueError` where none is given or the channels differ.
        """
        shaped = [image if image.ndim == 3 else image[None] for image in images]
        if not shaped:
            raise ValueError("no images were given")
        if len({image.shape[0] for image in shaped}) > 1:
            raise ValueError("the images have different numbers of channels")
        if any(image.dtype != np.uint8 for image in shaped):
            raise ValueError("images must be uint8")
        sizes = np.array([image.shape[1:] for image in shaped], np.int64)
        made = cls._unfilled(sizes, shaped[0].shape[0])
        for index, image in enumerate(shaped):
            made.image(index).numpy()[...] = image
        return made

    @classmethod
    def _unfilled(cls, sizes: Indices, channels: int) -> Images:
        """Images of the sizes (N, 2), whose pixels are still to be written into `groups`."""
        distinct, group_of = np.unique(sizes, axis=0, return_inverse=True)
        group_of = group_of.reshape(-1)
        shapes = [(height, width) for height, width in distinct.tolist()]
        length = buffer_length(shapes, np.bincount(group_of, minlength=len(shapes)).tolist(), channels)
        return cls.from_buffer(torch.empty(length, dtype=torch.uint8), shapes, group_of, channels)

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
        return self.buffer.device

    def image(self, index: int) -> Tensor:
        """One image in its original size, uint8 (C, H, W); it shares memory with the others."""
        image: Tensor = self._tensors[int(self._group_of[index])][int(self._row_of[index])]
        return image

    def to(self, device: torch.device | str) -> Images:
        """The same images on another device; the lookups are shared."""
        moved = object.__new__(type(self))
        moved.__dict__.update(self.__dict__)
        moved.buffer = self.buffer.to(device)
        moved._view_groups()
        return moved

    def resized(self, shapes: Indices) -> Images:
        """The same images in the same order, image i resized to `shapes[i]`, (N, 2), as `resize` does it."""
        made = self._unfilled(shapes, self.channels)
        for group, (size, out) in enumerate(made.groups.items()):
            self._resize_into(out, np.flatnonzero(made.group_of == group), size)
        made.original_sizes = self.original_sizes
        return made

    def _resize_into(self, out: Tensor, indices: Indices, size: Size) -> None:
        """Write some of the images, all resized to one size, into `out`, uint8 (n, C, *size)."""
        group_of = self._group_of[indices]
        for group in np.unique(group_of):
            tensor, places = self._tensors[group], np.flatnonzero(group_of == group)
            step = max(1, CHUNK_BYTES // max(1, tensor[0].numel()))
            for start in range(0, len(places), step):
                chunk = places[start : start + step]
                rows = torch.from_numpy(self._row_of[indices[chunk]])
                out[torch.from_numpy(chunk)] = resize(tensor.index_select(0, rows), size)

    def on_canvas(self, size: Size) -> Images:
        """The same images in the same order, each in the middle of a black canvas of `size`, height × width.

        An odd pixel is to the right and below. `ValueError` where an image is larger than the canvas.
        """
        result = torch.zeros((len(self), self.channels, *size), dtype=torch.uint8)
        for number, ((height, width), group) in enumerate(self.groups.items()):
            indices = torch.from_numpy(np.flatnonzero(self._group_of == number))
            top, left = middle((height, width), size)
            result[indices, :, top : top + height, left : left + width] = group
        return Images.from_tensor(result, original_sizes=self.original_sizes)

    def remembered(self, name: str, indices: Indices, count: Callable[[], Tensor]) -> Tensor:
        """What `count` gives for some of the images: counted anew, as the pixels are at hand."""
        return count()

    def fetch(self, indices: Indices, shape: Size | None = None) -> Padded:
        """A batch, as `ImageStore.fetch` describes it."""
        return next(self.batches([(indices, shape)]))

    def batches(self, requests: Iterable[Request]) -> Iterator[Padded]:
        """The batches that are asked for, in turn, each made when it is wanted: see `fetch`.

        The positions of all of them are uploaded at once, so that no batch waits for its own.
        """
        requests = list(requests)
        if not requests:
            return
        order = np.concatenate([indices for indices, _ in requests])
        lengths = [len(indices) for indices, _ in requests]
        rows = torch.split(_on(self.device, self._row_of[order]), lengths)
        found: Sequence[Tensor] | None = None
        for number, (indices, shape) in enumerate(requests):
            if len(indices) == 0:
                yield self._nothing(shape)
                continue
            group = self._common_group(indices)
            if group is not None:
                images = self._tensors[group].index_select(0, rows[number])
                yield (images, None) if shape is None else extended(images, None, shape)
                continue
            if self._windows is None:
                self._windows = _Windows(self.buffer, self._distinct, self._table())
            if found is None:
                found = torch.split(self._windows.look_up(_on(self.device, order)), lengths)
            largest = largest_size(self.sizes[indices])
            _check_fits(largest, shape or largest)
            yield self._windows.gather(found[number], shape or largest)

    def _nothing(self, shape: Size | None) -> Padded:
        height, width = shape or self.image_size or (0, 0)
        return torch.zeros((0, self.channels, height, width), dtype=torch.uint8, device=self.device), None

    def _common_group(self, indices: Indices) -> int | None:
        """The group of all the images, None where they are of several."""
        if len(self._tensors) == 1:
            return 0
        group_of = self._group_of[indices]
        first = int(group_of[0])
        return first if bool((group_of == first).all()) else None

    def _table(self) -> Indices:
        """Of each image height, width, and where each of its channels begins in the buffer: (N, 2 + C)."""
        areas = self.sizes.prod(axis=1)
        first = np.array(self._starts, np.int64)[self._group_of] + self._row_of * areas * self.channels
        channels = first[:, None] + areas[:, None] * np.arange(self.channels)
        return np.concatenate([self.sizes, channels], axis=1)


class _Windows:
    """Gathers batches of several sizes: each row of an image is a window of the buffer that begins there.

    Pixels right of or below an image in its windows belong to another image and are set to zero. The
    buffer ends with as many bytes to spare as the largest height × width: no window reaches beyond it.
    """

    def __init__(self, buffer: Tensor, distinct: Indices, table: Indices) -> None:
        self._buffer = buffer
        self._table = _on(buffer.device, table)
        self._most = largest_size(distinct)
        self._count_up = torch.arange(max(self._most), device=buffer.device)

    def look_up(self, places: Tensor) -> Tensor:
        """Positions in the buffer of the images at `places` (N,): (N, 2 + C), for `gather`."""
        return self._table.index_select(0, places)

    def gather(self, found: Tensor, shape: Size) -> Padded:
        """The images that were looked up, each padded at the bottom and right to `shape`, and their mask."""
        height, width = (min(side, most) for side, most in zip(shape, self._most, strict=True))
        sides, first = found[:, :2, None], found[:, 2:, None]
        rows, columns = self._count_up[:height], self._count_up[:width]
        starts = torch.addcmul(first, sides[:, 1:], rows)  # (B, C, height)
        windows = self._buffer.as_strided((len(self._buffer) - width + 1, width), (1, 1))
        images = windows.index_select(0, starts.view(-1)).view(*starts.shape, width)
        mask = (rows < sides[:, 0]).view(-1, 1, height, 1) & (columns < sides[:, 1]).view(-1, 1, 1, width)
        images.mul_(mask)
        if (height, width) == shape:
            return images, mask
        margin = (0, shape[1] - width, 0, shape[0] - height)
        return nn.functional.pad(images, margin), nn.functional.pad(mask, margin)


def buffer_length(sizes: Sequence[Size], counts: Sequence[int], channels: int) -> int:
    """The bytes of a buffer of so many images of each size, with those to spare that mixed batches need."""
    areas = [height * width for height, width in sizes]
    used = channels * sum(count * area for count, area in zip(counts, areas, strict=True))
    if len(sizes) <= 1:
        return used
    return used + max(height for height, _ in sizes) * max(width for _, width in sizes)


def extended(images: Tensor, mask: Tensor | None, shape: Size) -> Padded:
    """A batch (B, C, h, w) with zeros added at the bottom and right up to `shape`; `ValueError` if larger."""
    height, width = images.shape[2:]
    if (height, width) == shape:
        return images, mask
    _check_fits((height, width), shape)
    if mask is None:
        mask = images.new_ones((len(images), 1, height, width), dtype=torch.bool)
    margin = (0, shape[1] - width, 0, shape[0] - height)
    return nn.functional.pad(images, margin), nn.functional.pad(mask, margin)


def _check_fits(largest: Size, shape: Size) -> None:
    if largest[0] > shape[0] or largest[1] > shape[1]:
        raise ValueError(f"images of up to {largest[0]}×{largest[1]} do not fit {shape[0]}×{shape[1]}")


def middle(image: Size, canvas: Size) -> tuple[int, int]:
    """The first row and column of an image in the middle of a canvas; `ValueError` where it does not fit."""
    top, left = ((outer - inner) // 2 for inner, outer in zip(image, canvas, strict=True))
    if top < 0 or left < 0:
        raise ValueError(f"an image of {image[0]}×{image[1]} does not fit {canvas[0]}×{canvas[1]}")
    return top, left


def largest_size(sizes: Indices) -> Size:
    """The largest height and the largest width of some sizes, (N, 2)."""
    height, width = sizes.max(axis=0)
    return int(height), int(width)


def _on(device: torch.device, indices: Indices) -> Tensor:
    return torch.from_numpy(indices).to(device, non_blocking=True)


def _rows(group_of: Indices, counts: NDArray[np.int64]) -> Indices:
    """Each image's row within its group: how many of the same group precede it."""
    if len(counts) == 1:
        return np.arange(len(group_of), dtype=np.int64)
    order = np.argsort(group_of, kind="stable")
    rows = np.empty(len(group_of), np.int64)
    rows[order] = np.arange(len(group_of)) - np.repeat(np.cumsum(counts) - counts, counts)
    return rows


def _check_groups(group_of: Indices, lengths: Sequence[int]) -> None:
    if len(group_of) and not 0 <= group_of.min() <= group_of.max() < len(lengths):
        raise ValueError("an image is said to be in a group that is not there")
    if np.bincount(group_of, minlength=len(lengths)).tolist() != list(lengths):
        raise ValueError("the groups hold other numbers of images than are said to be in them")


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

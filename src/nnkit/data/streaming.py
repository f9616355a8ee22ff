"""Images that stay in their files: for what does not fit in memory. A batch is decoded when it is asked for.

The batches are those of the images held in memory, to the bit: the plan needs only the sizes, which
are in the headers of the files. `ImageFiles` is a map-style dataset over image indices that any `DataLoader`
takes, with the plan's index batches as its `batch_sampler` and `pad_collate` as its `collate_fn`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from nnkit.data.cache import cached
from nnkit.data.decode import Channels, decode
from nnkit.data.images import Indices, Request, extended, largest_size, middle
from nnkit.data.resizing import resize
from nnkit.data.workers import signals_held_back, start_worker
from nnkit.errors import DataError
from nnkit.types import Padded, Size


@dataclass(frozen=True, eq=False)
class ImageFiles(Dataset[Tensor | DataError]):
    """The map-style dataset that workers read: an image's index to its pixels, uint8 (C, H, W).

    `names` are N files under `root`; `original_sizes` (N, 2) are their heights and widths, `shapes` (N, 2)
    what they are resized to; then they stand in the middle of a black `canvas`, height × width, where one is
    given.
    """

    root: Path
    names: tuple[str, ...]
    original_sizes: Indices
    shapes: Indices
    channels: Channels
    canvas: Size | None = None

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Tensor | DataError:
        """The image, or what is wrong with its file: raised here, a worker would garble it."""
        try:
            return self.image(index)
        except DataError as error:
            return error

    def image(self, index: int) -> Tensor:
        """One image, uint8 (C, H, W), decoded anew and brought to its shape; `DataError` where it is bad."""
        path = self.root / self.names[index]
        try:
            data = path.read_bytes()
        except OSError as error:
            raise DataError(f"cannot read {path}: {error.strerror or error}") from None
        try:
            pixels = torch.from_numpy(np.array(decode(data, str(path), self.channels), order="C"))
        except DataError as error:
            error.hint = "mend or remove it; in_memory=true leaves such files out"
            raise
        found, expected = tuple(pixels.shape[1:]), tuple(self.original_sizes[index].tolist())
        if found != expected:
            raise DataError(
                f"{path} has changed: it had {expected[0]}×{expected[1]} pixels, now {found[0]}×{found[1]}",
                hint="start again",
            )
        height, width = self.shapes[index].tolist()
        if found != (height, width):
            pixels = resize(pixels[None], (height, width))[0]
        if self.canvas is None or self.canvas == (height, width):
            return pixels
        top, left = middle((height, width), self.canvas)
        canvas = torch.zeros((self.channels, *self.canvas), dtype=torch.uint8)
        canvas[:, top : top + height, left : left + width] = pixels
        return canvas


def pad_collate(images: Sequence[Tensor | DataError]) -> Padded | DataError:
    """Images (C, h, w) as one batch of the largest height and width among them, with zeros, and its mask.

    The mask is None where all are of one size. The first error among them, where there is one.
    """
    pixels = [image for image in images if isinstance(image, Tensor)]
    for image in images:
        if isinstance(image, DataError):
            return image
    height, width = (max(image.shape[axis] for image in pixels) for axis in (1, 2))
    batch = torch.zeros((len(pixels), pixels[0].shape[0], height, width), dtype=torch.uint8)
    mask = torch.zeros((len(pixels), 1, height, width), dtype=torch.bool)
    for place, image in enumerate(pixels):
        _, h, w = image.shape
        batch[place, :, :h, :w] = image
        mask[place, :, :h, :w] = True
    is_full = all(image.shape[1:] == (height, width) for image in pixels)
    return batch, None if is_full else mask


class FileImages:
    """Images whose pixels stay in files: an `ImageStore` that reads them each time.

    `num_workers` processes, of one thread each, read ahead where batches are asked for in turn; with 0 this
    process reads. The batches are the same. `state` identifies the state of the files, for what is
    kept in `cache`.
    """

    in_memory = False

    def __init__(
        self, files: ImageFiles, *, num_workers: int = 0, cache: Path | None = None, state: str = ""
    ) -> None:
        self.files = files
        self.num_workers = num_workers
        self._cache, self._state = cache, state
        self.channels: int = files.channels
        self.sizes = files.shapes if files.canvas is None else np.full_like(files.shapes, files.canvas)
        self.original_sizes = files.original_sizes
        self.device = torch.device("cpu")
        """Where the batches are brought."""

    def __len__(self) -> int:
        return len(self.files)

    def __repr__(self) -> str:
        return f"FileImages({self.channels} channels: {len(self)} in {self.files.root})"

    @property
    def image_size(self) -> Size | None:
        """The one size of all images; None where there are several."""
        is_one = len(self) > 0 and bool((self.sizes == self.sizes[0]).all())
        return (int(self.sizes[0, 0]), int(self.sizes[0, 1])) if is_one else None

    def image(self, index: int) -> Tensor:
        """One image, uint8 (C, H, W), decoded anew."""
        return self.files.image(int(index)).to(self.device)

    def to(self, device: torch.device | str) -> FileImages:
        """The same images, whose batches are brought to another device."""
        moved = self._with(self.files)
        moved.device = torch.device(device)
        return moved

    def resized(self, shapes: Indices) -> FileImages:
        """The same images, each resized to `shapes[i]`, (N, 2), after it is decoded."""
        return self._with(replace(self.files, shapes=shapes))

    def on_canvas(self, size: Size) -> FileImages:
        """The same images, each in the middle of a black canvas of `size`; see `Images.on_canvas`."""
        middle(largest_size(self.sizes), size)
        return self._with(replace(self.files, canvas=size))

    def _with(self, files: ImageFiles) -> FileImages:
        made = FileImages(files, num_workers=self.num_workers, cache=self._cache, state=self._state)
        made.device = self.device
        return made

    def remembered(self, name: str, indices: Indices, count: Callable[[], Tensor]) -> Tensor:
        """What `count` gives for some of the images, from the cache where files and sizes are the same."""
        if self._cache is None:
            return count()
        chosen = np.concatenate([indices[:, None], self.files.shapes[indices]], axis=1)
        digest = hashlib.sha256(chosen.tobytes()).hexdigest()
        kind = {"channels": self.channels, "centred": self.files.canvas or False}
        parts = {name: self._state, "images": digest, **kind}
        tensors = cached(
            self._cache, name, parts, lambda: {"counts": count()}, source=self.files.root, kind="counts"
        )
        return tensors["counts"]

    def fetch(self, indices: Indices, shape: Size | None = None) -> Padded:
        """A batch, as `ImageStore.fetch` describes it; `DataError` for a file that cannot be read."""
        if len(indices) == 0:
            height, width = shape or self.image_size or (0, 0)
            return torch.zeros((0, self.channels, height, width), dtype=torch.uint8, device=self.device), None
        return self._brought(pad_collate([self.files[index] for index in indices.tolist()]), shape)

    def batches(self, requests: Iterable[Request]) -> Iterator[Padded]:
        """The batches that are asked for, in turn, read ahead by the workers; none may be empty."""
        requests = list(requests)
        loader = DataLoader(
            self.files,
            batch_sampler=(indices.tolist() for indices, _ in requests),
            num_workers=self.num_workers,
            collate_fn=pad_collate,
            worker_init_fn=start_worker,
            pin_memory=self.device.type == "cuda",
            # Its own: else it draws from torch's default generator, and with it shifts dropout's numbers.
            generator=torch.Generator(),
        )
        with signals_held_back():
            results = iter(loader)
        try:
            for (_, shape), result in zip(requests, results, strict=True):
                yield self._brought(result, shape)
        finally:
            # Ends the workers. Else whoever keeps the error keeps this frame, and with it workers that hear
            # no SIGTERM: Python would wait for them for ever when it exits.
            del results

    def _brought(self, batch: Padded | DataError, shape: Size | None) -> Padded:
        """A batch on the device, and padded to the shape that the plan has for it."""
        if isinstance(batch, DataError):
            raise batch
        images, mask = batch
        images = images.to(self.device, non_blocking=True)
        mask = None if mask is None else mask.to(self.device, non_blocking=True)
        return (images, mask) if shape is None else extended(images, mask, shape)

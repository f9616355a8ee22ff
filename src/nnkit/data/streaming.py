"""Images that stay in their files: for what does not fit in memory. A batch is decoded when it is asked for.

The batches are those of the images held in memory, to the bit: the plan needs the sizes alone, and these
stand in the files' headers. Worker processes read ahead; all that crosses to them is the map-style dataset
`Files` and the plan's requests.
"""

from __future__ import annotations

import contextlib
import hashlib
import signal
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from nnkit.data.cache import cached
from nnkit.data.decode import Channels, decode
from nnkit.data.images import Images, Indices, Padded, Request, middle
from nnkit.data.resizing import resize
from nnkit.errors import DataError
from nnkit.types import Size

_STOPPING = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True, eq=False)
class Files(Dataset[Padded | DataError]):
    """The map-style dataset that workers read: a request, as the plan makes it, to its batch.

    `names` are N files under `root`; `own_sizes` (N, 2) are their heights and widths, `shapes` (N, 2) what
    they are brought to: by resizing, or with `centred` on a black canvas.
    """

    root: Path
    names: tuple[str, ...]
    own_sizes: Indices
    shapes: Indices
    channels: Channels
    centred: bool = False

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, request: Request) -> Padded | DataError:
        """The batch, or what is wrong with one of its files: raised here, a worker would garble it."""
        try:
            return self.read(*request)
        except DataError as error:
            return error

    def read(self, indices: Indices, size: Size | None) -> Padded:
        """The batch as `Images.take` gives it; `DataError` for a file that cannot be read any more."""
        shapes = self.shapes[indices]
        largest = shapes.max(axis=0, initial=0)
        height, width = size or tuple(largest.tolist())
        if largest[0] > height or largest[1] > width:
            raise ValueError(f"images of up to {largest[0]}×{largest[1]} do not fit {height}×{width}")
        batch = torch.zeros((len(indices), self.channels, height, width), dtype=torch.uint8)
        mask = torch.zeros((len(indices), 1, height, width), dtype=torch.bool)
        for place, (index, (h, w)) in enumerate(zip(indices.tolist(), shapes.tolist(), strict=True)):
            batch[place, :, :h, :w] = self.image(index)
            mask[place, :, :h, :w] = True
        is_full = bool((shapes == (height, width)).all())
        return batch, None if is_full else mask

    def image(self, index: int) -> Tensor:
        """One image, uint8 (C, H, W), decoded anew and brought to its shape."""
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
        found, expected = tuple(pixels.shape[1:]), tuple(self.own_sizes[index].tolist())
        if found != expected:
            raise DataError(
                f"{path} has changed: it had {expected[0]}×{expected[1]} pixels, now {found[0]}×{found[1]}",
                hint="start again",
            )
        height, width = self.shapes[index].tolist()
        if found == (height, width):
            return pixels
        if not self.centred:
            return resize(pixels[None], (height, width))[0]
        top, left = middle((found[0], found[1]), (height, width))
        canvas = torch.zeros((self.channels, height, width), dtype=torch.uint8)
        canvas[:, top : top + found[0], left : left + found[1]] = pixels
        return canvas


class FileImages(Images):
    """Images whose pixels stay in files; `groups` is empty, and `take` reads the files each time.

    `num_workers` processes, of one thread each, read ahead where batches are asked for in turn; with 0 this
    process reads. The batches are the same.
    """

    in_memory = False

    def __init__(
        self, files: Files, *, num_workers: int = 0, cache: Path | None = None, state: str = ""
    ) -> None:
        distinct, group_of = np.unique(files.shapes, axis=0, return_inverse=True)
        self.files = files
        self.num_workers = num_workers
        self._cache, self._state = cache, state
        self.groups = {}
        self.channels = files.channels
        self.sizes = files.shapes
        self.own_sizes = files.own_sizes
        self._group_of = group_of.reshape(-1)
        self._image_size = (int(distinct[0, 0]), int(distinct[0, 1])) if len(distinct) == 1 else None
        self._device = torch.device("cpu")

    def __repr__(self) -> str:
        return f"FileImages({self.channels} channels: {len(self)} in {self.files.root})"

    @property
    def image_size(self) -> Size | None:
        """The one size of all images; None where there are several."""
        return self._image_size

    @property
    def device(self) -> torch.device:
        """Where the batches are brought."""
        return self._device

    def image(self, index: int) -> Tensor:
        """One image, uint8 (C, H, W), decoded anew."""
        return self.files.image(int(index)).to(self._device)

    def to(self, device: torch.device | str) -> FileImages:
        """The same images, whose batches are brought to another device."""
        moved = object.__new__(type(self))
        moved.__dict__.update(self.__dict__)
        moved._device = torch.device(device)
        return moved

    def resized(self, shapes: Indices) -> FileImages:
        """The same images, each resized to `shapes[i]`, (N, 2), after it is decoded."""
        return self._brought_to(replace(self.files, shapes=shapes))

    def on_canvas(self, size: Size) -> FileImages:
        """The same images, each in the middle of a black canvas of `size`; see `Images.on_canvas`."""
        middle((int(self.sizes[:, 0].max()), int(self.sizes[:, 1].max())), size)
        shapes = np.full_like(self.sizes, size)
        return self._brought_to(replace(self.files, shapes=shapes, centred=True))

    def _brought_to(self, files: Files) -> FileImages:
        made = FileImages(files, num_workers=self.num_workers, cache=self._cache, state=self._state)
        made._device = self._device
        return made

    def remembered(self, name: str, indices: Indices, count: Callable[[], Tensor]) -> Tensor:
        """What `count` gives for some of the images, from the cache where files and sizes are the same."""
        if self._cache is None:
            return count()
        chosen = np.concatenate([indices[:, None], self.sizes[indices]], axis=1)
        digest = hashlib.sha256(chosen.tobytes()).hexdigest()
        parts = {
            name: self._state,
            "channels": self.channels,
            "images": digest,
            "centred": self.files.centred,
        }
        return cached(self._cache, name, parts, lambda: {"counts": count()})["counts"]

    def take(self, indices: Indices, size: Size | None = None) -> Padded:
        """A batch, as `Images.take` gives it; `DataError` for a file that cannot be read any more."""
        return self._moved(self.files.read(indices, size))

    def batches(self, requests: Iterable[Request]) -> Iterator[Padded]:
        """The batches that are asked for, in turn, read ahead by the workers."""
        loader = DataLoader(
            self.files,
            batch_size=None,  # each request is a whole batch
            sampler=requests,
            num_workers=self.num_workers,
            collate_fn=_as_it_is,
            worker_init_fn=_start_worker,
            pin_memory=self._device.type == "cuda",
            # Its own: else it draws from torch's default generator, and with it shifts dropout's numbers.
            generator=torch.Generator(),
        )
        with _signals_held_back():
            results = iter(loader)
        try:
            for result in results:
                if isinstance(result, DataError):
                    raise result
                yield self._moved(result)
        finally:
            # Ends the workers. Else whoever keeps the error keeps this frame, and with it workers that hear
            # no SIGTERM: Python would wait for them for ever when it exits.
            del results

    def _moved(self, batch: Padded) -> Padded:
        images, mask = batch
        images = images.to(self._device, non_blocking=True)
        return images, None if mask is None else mask.to(self._device, non_blocking=True)


def _as_it_is(batch: Any) -> Any:
    return batch


@contextlib.contextmanager
def _signals_held_back() -> Iterator[None]:
    """Workers start with these signals held back, until `_start_worker` ignores them; they wait here too."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start_worker(_: int) -> None:
    """One thread each; what stops the whole group is for the main process: it saves, then ends them."""
    torch.set_num_threads(1)
    for number in _STOPPING:
        signal.signal(number, signal.SIG_IGN)

"""One's own images from Python: tensors, arrays or a torch `Dataset`, as a dataset to train on."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nnkit.data import splits
from nnkit.data.images import Images
from nnkit.errors import UsageError
from nnkit.types import SPLITS, DataPlace, Split, Task
from nnkit.types import Data as LoadedData

logger = logging.getLogger("nnkit")
CHANNELS = (1, 3)
"""Channels by which the layout of an array is told: (N, H, W, C) or (N, C, H, W)."""


class Data:
    """Images and targets of one's own, for `nnkit.train(dataset=nnkit.Data(train=(images, labels)))`.

    Each of `train`, `val` and `test` is a pair (images, targets), or a torch `Dataset` with a length whose
    items are such pairs. Images are a tensor (N, C, H, W) or (N, H, W), an array of these shapes or (N, H, W,
    C) with one or three channels, or a list of single images in several sizes. They are uint8, or floats in
    [0, 1], which are rounded to 8 bits. Targets are whole numbers (N,), the classes from 0 on, or images in
    [0, 1], (N, C, H, W), for a transform.

    Without `val`, the share `val_fraction` of the training images validates, drawn by `seed`, the same share
    of each class; without `test`, nothing is tested. `class_names` are the classes' numbers where left out.
    Everything is copied into memory. `UsageError` names the argument that does not fit, and what it takes.
    """

    task: Task
    default_model: str
    nnkit_settings: Mapping[str, str]

    def __init__(
        self,
        train: Any,
        val: Any = None,
        test: Any = None,
        *,
        class_names: Sequence[str] = (),
        val_fraction: float = 0.1,
        seed: int = 0,
    ) -> None:
        given = {"train": train, "val": val, "test": test}
        read = {name: _read(name, value) for name, value in given.items() if value is not None}
        if "train" not in read:
            raise UsageError("train: there are no images to train on", hint="pass train=(images, targets)")
        images, targets = read["train"]
        self.task = "classification" if targets.ndim == 1 else "transform"
        for name, (others, their) in read.items():
            _check_like(name, others, their, images, targets)
        parts = {name: Split(*pair, np.arange(len(pair[0]))) for name, pair in read.items()}
        if "val" not in parts:
            labels = targets.numpy() if self.task == "classification" else None
            fraction = splits.check_fraction(val_fraction)
            kept, held = splits.random_parts(
                np.arange(len(images)), fraction, splits.check_seed(seed), labels
            )
            parts |= {"train": Split(images, targets, kept), "val": Split(images, targets, held)}
        parts.setdefault("test", Split(images, targets, np.arange(0)))
        ordered = {name: parts[name] for name in SPLITS}
        self._data = self._classes(ordered, class_names) if self.task == "classification" else _pairs(ordered)
        self.default_model = self._default_model()
        self.nnkit_settings = {"digest": _digest(ordered)}

    def load(self, place: DataPlace) -> LoadedData:
        """The images; nothing is read."""
        return self._data

    def _classes(self, parts: Mapping[str, Split], class_names: Sequence[str]) -> LoadedData:
        highest = max(int(split.targets.max()) for split in parts.values() if len(split.targets))
        names = tuple(class_names) or tuple(map(str, range(highest + 1)))
        if highest >= len(names):
            raise UsageError(
                f"class_names: there are {len(names)}, but a target is {highest}: classes count from 0",
                hint="name every class, or leave class_names out",
            )
        images = parts["train"].images
        data = LoadedData(
            "classification", parts, images.channels, _one_size(parts), class_names=names, measured=True
        )
        return splits.measured(data)

    def _default_model(self) -> str:
        if self.task == "transform":
            return "separable"
        fits = self._data.image_size == (28, 28) and self._data.in_channels == 1
        return "mnist-convnet" if fits else "varres-net"


def _pairs(parts: Mapping[str, Split]) -> LoadedData:
    """The data of a transform."""
    images, targets = parts["train"].images, parts["train"].targets
    size = _one_size(parts)
    if size is None:
        raise UsageError("train: a transform needs images of one size", hint="resize them before")
    return LoadedData(
        "transform",
        parts,
        images.channels,
        size,
        target_channels=targets.shape[1],
        target_size=(targets.shape[2], targets.shape[3]),
        mean=(0.0,) * images.channels,
        std=(1.0,) * images.channels,
    )


def _one_size(parts: Mapping[str, Split]) -> tuple[int, int] | None:
    sizes = {split.images.image_size for split in parts.values()}
    return sizes.pop() if len(sizes) == 1 else None


def _read(name: str, given: Any) -> tuple[Images, Tensor]:
    """The images and targets of a split."""
    if isinstance(given, torch.utils.data.Dataset):
        given = _items(name, given)
    if not (isinstance(given, (tuple, list)) and len(given) == 2):
        raise UsageError(
            f"{name}: expected a pair (images, targets) or a torch Dataset, got {_told(given)}",
            hint=f"pass {name}=(images, targets)",
        )
    images, targets = _images(name, given[0]), _targets(name, given[1])
    if len(images) != len(targets):
        raise UsageError(f"{name}: there are {len(images)} images and {len(targets)} targets")
    if not len(images):
        raise UsageError(f"{name}: there are no images", hint="leave it out")
    return images, targets


def _items(name: str, dataset: Any) -> tuple[list[Any], Any]:
    """The images and targets of a torch Dataset, each item read once."""
    if not hasattr(dataset, "__len__") or not hasattr(dataset, "__getitem__"):
        raise UsageError(
            f"{name}: the dataset {type(dataset).__name__} has no length: how many images an epoch has must "
            "be known",
            hint="use a map-style Dataset, with __len__ and __getitem__, or pass tensors",
        )
    images, targets = [], []
    for at in range(len(dataset)):
        item = dataset[at]
        if not (isinstance(item, (tuple, list)) and len(item) == 2):
            raise UsageError(f"{name}: item {at} is {_told(item)}, expected a pair (image, target)")
        images.append(item[0])
        targets.append(item[1])
    if targets and all(isinstance(target, (int, np.integer)) for target in targets):
        return images, np.array(targets, np.int64)
    try:
        return images, torch.stack([torch.as_tensor(target) for target in targets])
    except (TypeError, ValueError, RuntimeError):
        raise UsageError(
            f"{name}: the targets are {_told(targets[0])}",
            hint="expected whole numbers, or images of one size",
        ) from None


def _images(name: str, given: Any) -> Images:
    if isinstance(given, (list, tuple)):
        if not given:
            raise UsageError(f"{name}: there are no images", hint="leave it out")
        return _of_several_sizes(name, [_pixels(name, image, 3) for image in given])
    return Images.from_tensor(torch.from_numpy(_pixels(name, given, 4)))


def _of_several_sizes(name: str, images: Sequence[np.ndarray]) -> Images:
    try:
        return Images.from_arrays(images)
    except ValueError as error:
        raise UsageError(f"{name}: {error}") from None


def _pixels(name: str, given: Any, ndim: int) -> np.ndarray:
    """Images (N, C, H, W), or one image (C, H, W), as uint8."""
    array = given.detach().cpu().numpy() if isinstance(given, Tensor) else np.asarray(given)
    if array.ndim == ndim - 1:
        array = np.expand_dims(array, ndim - 3)
    elif array.ndim == ndim and array.shape[-1] in CHANNELS and array.shape[-3] not in CHANNELS:
        array = np.moveaxis(array, -1, -3)
    if array.ndim != ndim or 0 in array.shape[-3:]:
        shapes = "(N, C, H, W), (N, H, W) or (N, H, W, C)" if ndim == 4 else "(C, H, W), (H, W) or (H, W, C)"
        raise UsageError(f"{name}: images of the shape {given_shape(given)}: expected {shapes}")
    return np.ascontiguousarray(_eight_bits(name, array))


def given_shape(given: Any) -> tuple[int, ...]:
    """The shape of what was passed."""
    return tuple(np.shape(given))


def _eight_bits(name: str, array: np.ndarray) -> np.ndarray:
    if array.dtype == np.uint8:
        return array
    if array.dtype.kind != "f":
        raise UsageError(
            f"{name}: images of the type {array.dtype}: expected uint8, or floats in [0, 1]",
            hint="convert them, as with images.astype(numpy.uint8)",
        )
    if not (np.isfinite(array).all() and array.min() >= 0 and array.max() <= 1):
        raise UsageError(
            f"{name}: images of floats from {array.min():.4g} to {array.max():.4g}: expected [0, 1]",
            hint="do not normalise them: nnkit does, by the training images' mean and standard deviation",
        )
    scaled = array * 255
    rounded = np.rint(scaled)
    if (change := float(np.abs(scaled - rounded).max())) > 0.01:
        logger.warning("%s: floats are rounded to 8 bits, which changes them by up to %.2f/255", name, change)
    eight_bits: np.ndarray = rounded.astype(np.uint8)
    return eight_bits


def _targets(name: str, given: Any) -> Tensor:
    """Classes, int64 (N,), or images, float (N, C, H, W) in [0, 1]."""
    try:
        found = given.detach().cpu() if isinstance(given, Tensor) else torch.from_numpy(np.asarray(given))
    except TypeError:
        raise UsageError(f"{name}: targets are {_told(given)}: expected numbers") from None
    whole = not (found.is_floating_point() or found.is_complex() or found.dtype == torch.bool)
    if found.ndim == 1 and whole:
        if len(found) and int(found.min()) < 0:
            raise UsageError(f"{name}: a target is {int(found.min())}: classes count from 0")
        return found.to(torch.int64)
    if found.ndim == 4 and (found.is_floating_point() or found.dtype == torch.uint8):
        images = found.float() / 255 if found.dtype == torch.uint8 else found.float()
        if not bool(images.isfinite().all()):
            raise UsageError(f"{name}: a target is not finite")
        return images.contiguous()
    kind = str(found.dtype).removeprefix("torch.")
    raise UsageError(
        f"{name}: targets of the shape {tuple(found.shape)} and type {kind}: "
        "expected classes, whole numbers (N,), or images (N, C, H, W) in [0, 1]",
        hint="convert classes with targets.long()" if found.ndim == 1 else "",
    )


def _check_like(name: str, images: Images, targets: Tensor, first: Images, their: Tensor) -> None:
    """`UsageError` where a split does not go with the training images."""
    if images.channels != first.channels:
        raise UsageError(
            f"{name}: images of {images.channels} channels, those to train on have {first.channels}"
        )
    if targets.shape[1:] != their.shape[1:]:
        raise UsageError(
            f"{name}: targets of the shape {tuple(targets.shape)}, those to train on are {tuple(their.shape)}"
        )


def _digest(parts: Mapping[str, Split]) -> str:
    """What tells these images and targets from others: so that a run is not resumed with others."""
    total = hashlib.sha256()
    for name, split in parts.items():
        total.update(f"{name}{split.indices.tolist()}".encode())
        for size, group in split.images.groups.items() if isinstance(split.images, Images) else ():
            total.update(f"{size}".encode() + group.numpy().data)
        total.update(split.targets.numpy().data)
    return total.hexdigest()[:16]


def _told(value: object) -> str:
    shape = getattr(value, "shape", None)
    return f"a {type(value).__name__}" + (f" of shape {tuple(shape)}" if shape is not None else "")

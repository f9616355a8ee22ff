"""Checks for augmentations: batches of images in [0, 1], padded and not, to batches of the same shape."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from nnkit.testing.subject import Subject, assert_close, assert_finite
from nnkit.testing.worker import call_in_worker
from nnkit.training.augmentation import apply

Given = tuple[Tensor, Tensor | None, Tensor]
"""Images (B, C, H, W), their mask (B, 1, H, W) or None, and their sizes (B, 2)."""

SHAPES = ((1, 3, 32, 32), (5, 3, 20, 27), (4, 1, 28, 28))
"""One image and several, three channels and one, images that are not square."""


def _batch(shape: tuple[int, ...]) -> Given:
    images = torch.rand(*shape, generator=torch.Generator().manual_seed(sum(shape)))
    return images, None, torch.tensor([shape[2:]] * shape[0])


def _padded(channels: int) -> Given:
    """Images of three sizes on one canvas."""
    sizes = torch.tensor([[24, 20], [32, 32], [18, 30], [24, 20]])
    images = torch.rand(4, channels, 32, 32, generator=torch.Generator().manual_seed(channels))
    mask = torch.zeros(4, 1, 32, 32, dtype=torch.bool)
    for place, (height, width) in enumerate(sizes.tolist()):
        mask[place, :, :height, :width] = True
    return images * mask, mask, sizes


def _taken(subject: Subject) -> Iterator[tuple[str, Given]]:
    """The batches of the shapes that it takes: one channel or three may be refused, not both."""
    augmentation, refused, taken = made(subject), [], []
    for channels in (3, 1):
        try:
            _changed(augmentation, _padded(channels))
        except Exception as error:  # a component may refuse in any way
            refused.append(f"{channels} channels: {type(error).__name__}: {error}")
        else:
            taken.append(channels)
    assert taken, "it takes neither images of three channels nor of one: " + "; ".join(refused)
    for shape in SHAPES:
        if shape[1] in taken:
            yield f"of shape {shape}", _batch(shape)
    for channels in taken:
        yield f"of several sizes and {channels} channels", _padded(channels)


def made(subject: Subject) -> Any:
    """The augmentation; `AssertionError` where it cannot be called."""
    augmentation = subject.make()
    assert callable(augmentation), f"it is a {type(augmentation).__name__}, which cannot be called"
    return augmentation


def _changed(augmentation: Any, given: Given, seed: int = 0) -> tuple[Tensor, Tensor | None]:
    images, mask, sizes = given
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return apply(augmentation, images.clone(), mask, sizes)


def keeps_shape_and_type(subject: Subject) -> None:
    """Images and mask come back in the shape and type that they had; the mask is as it was."""
    for what, given in _taken(subject):
        mask = _changed(made(subject), given)[1]
        assert mask is None or (given[1] is not None and torch.equal(mask, given[1])), (
            f"it changes the mask of a batch {what}: an image keeps its rectangle"
        )


def gives_finite_values(subject: Subject) -> None:
    """For random images, black ones and white ones, with five seeds."""
    for what, (images, mask, sizes) in _taken(subject):
        for value in (images, torch.zeros_like(images), (images > 0).to(images)):
            for seed in range(5):
                changed, _ = _changed(made(subject), (value, mask, sizes), seed)
                inside = changed if mask is None else changed * mask
                assert_finite(inside, f"seed {seed} on a batch {what}")


def draws_from_torchs_generator(subject: Subject) -> None:
    """One seed gives the same images to the bit, also from a second object."""
    for what, given in _taken(subject):
        augmentation = made(subject)
        first, again = _changed(augmentation, given, 3)[0], _changed(augmentation, given, 3)[0]
        other = _changed(made(subject), given, 3)[0]
        assert torch.equal(first, again), (
            f"one seed gives two results on a batch {what}: draw from torch's default generator"
        )
        assert torch.equal(first, other), f"two objects and one seed give two results on a batch {what}"


def changes_each_image_by_itself(subject: Subject) -> None:
    """What becomes of an image does not depend on the pixels of another: its class stays its own."""
    for what, (images, mask, sizes) in _taken(subject):
        if len(images) < 2:
            continue
        others = images.clone()
        others[0] = 0
        for seed in range(3):
            before = _changed(made(subject), (images, mask, sizes), seed)[0]
            after = _changed(made(subject), (others, mask, sizes), seed)[0]
            assert_close(after[1:], before[1:], f"another first image in a batch {what} changes the others")


def sees_no_padding(subject: Subject) -> None:
    """A white image keeps as much of its brightness on a canvas of ten times its area as it does alone."""
    sizes = torch.tensor([[24, 20]] * 16)
    mask = torch.zeros(16, 1, 70, 70, dtype=torch.bool)
    mask[:, :, :24, :20] = True
    for channels in {given[0].shape[1] for _, given in _taken(subject)}:
        white, augmentation = torch.ones(16, channels, 24, 20), made(subject)
        canvas = mask.to(white).expand(-1, channels, -1, -1)
        alone, padded = [], []
        for seed in range(16):
            alone.append(_changed(augmentation, (white, None, sizes), seed)[0].mean())
            padded.append(_changed(augmentation, (canvas, mask, sizes), seed)[0][:, :, :24, :20].mean())
        left, kept = float(torch.stack(alone).mean()), float(torch.stack(padded).mean())
        assert abs(left - kept) < 0.1, (
            f"white images are {left:.2f} bright after it, and {kept:.2f} where they are padded: work on "
            "each image within its own height and width, which `sizes` has"
        )


def survives_spawn(subject: Subject) -> None:
    """It pickles to a worker process, and does the same there."""
    for _, (images, mask, sizes) in _taken(subject):
        augmentation = made(subject)
        expected = _changed(augmentation, (images, mask, sizes))[0]
        arrays = (images.numpy(), None if mask is None else mask.numpy(), sizes.numpy())
        answer = call_in_worker(_in_worker, augmentation, arrays)
        assert_close(torch.from_numpy(answer), expected, "the images in a worker process differ")


def _in_worker(augmentation: Any, arrays: tuple[Any, Any, Any]) -> Any:
    images, mask, sizes = (None if array is None else torch.from_numpy(array) for array in arrays)
    assert images is not None
    assert sizes is not None
    return _changed(augmentation, (images, mask, sizes))[0].numpy()

"""Augmentations one after the other, as training applies them: each is held to its protocol."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from nnkit.errors import NnkitError, PluginError, UsageError
from nnkit.training import determinism
from nnkit.training.memory import is_out_of_memory


class Augmentations:
    """Several augmentations in turn, each with the name that errors give it.

    An error of one of them names it: what it raised, a batch of another shape or type, values that are not
    finite. On the CPU these are found at once; on a device in the first batch, and afterwards one batch late,
    so that the device never waits.
    """

    def __init__(self, named: Sequence[tuple[str, Any]]) -> None:
        self._named = tuple(named)
        self._is_first = True
        self._finite: Tensor | None = None
        """Whether what each gave in the last batch is finite, bool (A,), still on the device."""

    @torch.no_grad()
    def __call__(self, images: Tensor, mask: Tensor | None, sizes: Tensor) -> tuple[Tensor, Tensor | None]:
        """Images (B, C, H, W) in [0, 1], their mask and sizes, as `nnkit.types.Augmentation` takes them."""
        self._require_finite()
        finite = []
        for name, augmentation in self._named:
            images, mask = _applied(name, augmentation, images, mask, sizes)
            if mask is not None:
                images = images * mask
            # NaN is the smallest and the largest value; isfinite takes the CPU ten times as long.
            finite.append(torch.stack(torch.aminmax(images)).isfinite().all())
        self._finite = torch.stack(finite)
        if self._is_first or images.device.type == "cpu":
            self._is_first = False
            self._require_finite()
        return images, mask

    def _require_finite(self) -> None:
        if self._finite is None:
            return
        found, self._finite = self._finite.tolist(), None
        for (name, _), is_finite in zip(self._named, found, strict=True):
            if not is_finite:
                raise UsageError(
                    f'the augmentation "{name}" gave values that are not finite',
                    hint="images are in [0, 1], and stay finite; leave it out, or change its settings",
                )

    def state_dict(self) -> list[Any]:
        """The state of each, None for one without."""
        return [
            dict(augmentation.state_dict()) if hasattr(augmentation, "state_dict") else None
            for _, augmentation in self._named
        ]

    def load_state_dict(self, states: Sequence[Any]) -> None:
        """Restore the saved states, in the same order."""
        for (_, augmentation), state in zip(self._named, states, strict=True):
            if state is not None:
                augmentation.load_state_dict(state)


def apply(
    augmentation: Any, images: Tensor, mask: Tensor | None, sizes: Tensor
) -> tuple[Tensor, Tensor | None]:
    """What an augmentation makes of a batch; one that takes images alone is called per size.

    `UsageError` where the shape or the type of the images or of the mask changes.
    """
    if takes_images_alone(augmentation):
        return _each_size_apart(augmentation, images, mask, sizes), mask
    found = augmentation(images, mask, sizes)
    if not (isinstance(found, tuple) and len(found) == 2):
        raise UsageError(f"expected a pair, images and mask, but it gave a {type(found).__name__}")
    changed = _unchanged_in_shape(found[0], images, "a batch")
    if (mask is None) != (found[1] is None):
        raise UsageError("expected the mask that it was given")
    return changed, None if mask is None else _unchanged_in_shape(found[1], mask, "a mask")


def takes_images_alone(augmentation: Any) -> bool:
    """Whether it is a module such as kornia's, whose `forward` knows no mask and sizes."""
    if not isinstance(augmentation, nn.Module):
        return False
    return not {"mask", "sizes"} <= inspect.signature(augmentation.forward).parameters.keys()


def _applied(
    name: str, augmentation: Any, images: Tensor, mask: Tensor | None, sizes: Tensor
) -> tuple[Tensor, Tensor | None]:
    try:
        return apply(augmentation, images, mask, sizes)
    except NnkitError as error:
        error.message = f'the augmentation "{name}": {error.message}'
        raise
    except Exception as error:
        about_kernels = isinstance(error, RuntimeError) and determinism.refusal(error) is not None
        if about_kernels or is_out_of_memory(error):
            raise
        cause = f"{type(error).__name__}: {error}"
        raise PluginError(
            f'the augmentation "{name}" broke on images of shape {tuple(images.shape)}: {cause}',
            hint="run again with --debug for the traceback",
        ) from error


def _each_size_apart(module: nn.Module, images: Tensor, mask: Tensor | None, sizes: Tensor) -> Tensor:
    if mask is None:
        return _unchanged_in_shape(module(images), images, "a batch")
    changed = torch.zeros_like(images)
    # The sizes are read back, for which a device waits: a module that knows no padding must not see any.
    for height, width in torch.unique(sizes, dim=0).tolist():
        places = (sizes == sizes.new_tensor([height, width])).all(dim=1).nonzero()[:, 0]
        own = images[places, :, :height, :width].contiguous()
        changed[places, :, :height, :width] = _unchanged_in_shape(module(own), own, "a batch")
    return changed


def _unchanged_in_shape(found: Any, given: Tensor, what: str) -> Tensor:
    """The result, whose values may be written to; `UsageError` where it is not as it must be."""
    if not isinstance(found, Tensor):
        raise UsageError(f"expected a tensor for {what}, but it gave a {type(found).__name__}")
    if (found.shape, found.dtype, found.device) != (given.shape, given.dtype, given.device):
        raise UsageError(
            f"it was given {what} of {_described(given)} and gave {_described(found)}",
            hint="an augmentation keeps the shape and the type of images and mask",
        )
    return found.clone(memory_format=torch.contiguous_format) if 0 in found.stride() else found


def _described(tensor: Tensor) -> str:
    kind = str(tensor.dtype).removeprefix("torch.")
    return f"{kind} {tuple(tensor.shape)}" + ("" if tensor.device.type == "cpu" else f" on {tensor.device}")

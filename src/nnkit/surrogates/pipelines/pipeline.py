"""A pipeline: steps, and how they are computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torchvision.transforms import v2

from nnkit.errors import UsageError, did_you_mean, quote
from nnkit.surrogates.pipelines.executions import EXECUTIONS, Execution, How, PilLoop, execute
from nnkit.surrogates.pipelines.steps import Step, WrongStep
from nnkit.types import Size

Shape = tuple[int, int, int]
"""Channels, height, width."""
DType = Literal["float", "uint8"]
Backend = Literal["tensor", "pil"]

CHUNK_BYTES = 4 << 20  # of the largest intermediate: near the cache, twice as fast on a CPU as 64 MiB


@dataclass(frozen=True)
class Pipeline:
    """Steps, and how they are computed; `str()` gives the steps as text that `parse_pipeline` reads back.

    `dtype`: "float" computes on float32 images, value / 255; "uint8" on 8-bit values, with torchvision's
    rounding after each step. `backend`: "tensor", or "pil" for PIL images, per image, which are always 8-bit
    and always antialiased. `antialias` is for `resize` on tensors. Results are float32 whatever the dtype;
    8-bit values come out as value / 255. Raises `UsageError` where these do not go together.
    """

    steps: tuple[Step, ...]
    dtype: DType = "float"
    antialias: bool = True
    backend: Backend = "tensor"

    def __post_init__(self) -> None:
        _check_choice("dtype", self.dtype, get_args(DType))
        _check_choice("backend", self.backend, get_args(Backend))
        if self.backend == "pil" and self.dtype != "uint8":
            raise UsageError(
                "PIL computes on 8-bit values, not floats", hint="set dtype=uint8 or backend=tensor"
            )
        if self.backend == "pil" and not self.antialias:
            raise UsageError("PIL always antialiases", hint="set antialias=true or backend=tensor")
        if self.dtype == "uint8":
            for position, step in enumerate(self.steps):
                if step.kind.needs_float:
                    raise UsageError(
                        f"{self._place(position)}: needs floats, this pipeline computes on 8-bit values",
                        hint=f"set dtype=float and backend=tensor, or leave {step.name} out",
                    )

    def __str__(self) -> str:
        return ",".join(map(str, self.steps))

    def _place(self, position: int) -> str:
        return place_of(position, len(self.steps), str(self.steps[position]))

    def sizes(self, size: Size) -> list[Size]:
        """Height × width after each step, from an image of `size`; `UsageError` where a step cannot run."""
        sizes = []
        for position, step in enumerate(self.steps):
            try:
                size = step.kind.size(step.values, size)
            except WrongStep as wrong:
                raise UsageError(f"{self._place(position)}: {wrong.message}", hint=wrong.hint) from None
            sizes.append(size)
        return sizes

    def channels(self, num_channels: int) -> list[int]:
        """Channels after each step; `UsageError` names a step that cannot take them."""
        channels = []
        for position, step in enumerate(self.steps):
            try:
                num_channels = step.kind.channels(step.values, num_channels)
            except WrongStep as wrong:
                raise UsageError(f"{self._place(position)}: {wrong.message}", hint=wrong.hint) from None
            channels.append(num_channels)
        return channels

    def output_size(self, size: Size) -> Size:
        """Height × width of the result for an image of `size`."""
        return self.sizes(size)[-1]

    def output_channels(self, num_channels: int) -> int:
        """Channels of the result for an image of `num_channels`."""
        return self.channels(num_channels)[-1]

    def output_shape(self, shape: Shape) -> Shape:
        """(C', H', W') of the result for an image (C, H, W); `UsageError` where a step cannot run."""
        return (self.output_channels(shape[0]), *self.output_size(shape[1:]))

    def run(self, image: Any) -> Any:
        """The steps alone, on what they compute on: a tensor (..., C, H, W) of any dtype, or a PIL image.

        Nothing is checked or converted, and the result may share the input's memory where no step changes it.
        """
        for step in self.steps:
            image = step.kind.run(image, step.values, self.antialias)
        return image

    def transforms(self) -> v2.Compose:
        """The steps as torchvision's own classes, as users write and time them.

        Slower than `run` on small images, which calls the functions behind the classes. The classes that are
        always applied draw from torch's generator all the same.
        """
        return v2.Compose([step.kind.transform(step.values, self.antialias) for step in self.steps])

    def execution(self, how: How) -> Execution:
        """A way to run these steps: "batched" or "loop" on tensors of this dtype, "pil" on 8-bit PIL images.

        Raises `UsageError` where the steps cannot run that way.
        """
        if how == "pil":
            return PilLoop(replace(self, backend="pil", dtype="uint8"))
        return EXECUTIONS[how](replace(self, backend="tensor"))

    def apply(self, images: Tensor) -> Tensor:
        """What the pipeline makes of uint8 images (B, C, H, W): float32 (B, C', H', W').

        Batched, in chunks that bound the memory. On floats a result may depend on the batch by float32
        rounding (measured on a CPU: not at all). Raises `UsageError` for other tensors and for images that a
        step cannot take.
        """
        _check_images(images, 4)
        shape = (images.shape[1], images.shape[2], images.shape[3])
        output_shape = self.output_shape(shape)
        if len(images) == 0:
            return torch.zeros(0, *output_shape, device=images.device)
        execution = self.execution("pil" if self.backend == "pil" else "batched")
        return torch.cat(
            [execute(execution, chunk) for chunk in torch.split(images, self._chunk_length(shape))]
        )

    def apply_one(self, image: Tensor) -> Tensor:
        """What the pipeline makes of one uint8 image (C, H, W), without a batch: float32 (C', H', W')."""
        _check_images(image, 3)
        self.output_shape((image.shape[0], image.shape[1], image.shape[2]))
        return execute(self.execution("pil" if self.backend == "pil" else "loop"), image[None])[0]

    def _chunk_length(self, shape: Shape) -> int:
        sizes, channels = [shape[1:], *self.sizes(shape[1:])], [shape[0], *self.channels(shape[0])]
        largest = max(c * h * w for c, (h, w) in zip(channels, sizes, strict=True))
        return max(1, CHUNK_BYTES // (4 * largest))


def _check_images(images: Tensor, ndim: int) -> None:
    if images.dtype != torch.uint8 or images.ndim != ndim or 0 in images.shape[-3:]:
        wanted = "(B, C, H, W)" if ndim == 4 else "(C, H, W)"
        raise UsageError(
            f"a pipeline takes uint8 images {wanted}, not {images.dtype} of shape {tuple(images.shape)}",
            hint="floats in [0, 1] become 8-bit values by (images * 255).round().to(torch.uint8)",
        )


def _check_choice(name: str, value: object, known: Sequence[str]) -> None:
    if value not in known:
        raise UsageError(f"{quote(value)} is no {name}", hint=did_you_mean(str(value), known))


def place_of(position: int, num_steps: int, text: str) -> str:
    """How a message names a step: "step 2 of 4, 'graysale'"."""
    return f"step {position + 1} of {num_steps}, {quote(text)}"

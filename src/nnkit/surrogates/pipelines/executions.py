"""Three ways to run a pipeline, each in parts so that the steps can be timed alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

import torch
import torchvision.transforms.v2.functional as F
from torch import Tensor

from nnkit.errors import UsageError

if TYPE_CHECKING:
    from nnkit.surrogates.pipelines.pipeline import DType, Pipeline

How = Literal["batched", "loop", "pil"]


class Execution(Protocol):
    """One way to run a pipeline, in three parts so that the middle one can be timed alone."""

    def prepare(self, images: Tensor) -> Any:
        """From uint8 images (B, C, H, W) to what this way runs on."""
        ...

    def run(self, inputs: Any) -> Any:
        """The steps alone."""
        ...

    def collect(self, outputs: Any) -> Tensor:
        """From what `run` gave to float32 (B, C', H', W')."""
        ...


@dataclass(frozen=True)
class Batched:
    """The steps on a whole batch: a tensor (B, C, H, W) in, one out."""

    pipeline: Pipeline

    def prepare(self, images: Tensor) -> Tensor:
        """The batch in the pipeline's dtype: float32 in [0, 1], or uint8."""
        return _to_input(images, self.pipeline.dtype)

    def run(self, inputs: Tensor) -> Tensor:
        """The steps on the batch."""
        result: Tensor = self.pipeline.run(inputs)
        return result

    def collect(self, outputs: Tensor) -> Tensor:
        """The result as float32."""
        return _to_float(outputs)


@dataclass(frozen=True)
class Loop:
    """The steps per image: a list of tensors (C, H, W) in, one out."""

    pipeline: Pipeline

    def prepare(self, images: Tensor) -> list[Tensor]:
        """The images in the pipeline's dtype: float32 in [0, 1], or uint8."""
        return list(_to_input(images, self.pipeline.dtype))

    def run(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """The steps on each image."""
        return [self.pipeline.run(image) for image in inputs]

    def collect(self, outputs: Sequence[Tensor]) -> Tensor:
        """The results stacked, as float32."""
        return _to_float(torch.stack(list(outputs)))


@dataclass(frozen=True)
class PilLoop:
    """The steps per image on PIL images: a list of them in, one out."""

    pipeline: Pipeline

    def prepare(self, images: Tensor) -> list[Any]:
        """The images as PIL images, L or RGB."""
        if images.shape[1] not in (1, 3):
            raise UsageError(
                f"PIL takes images of 1 or 3 channels here, not {images.shape[1]}", hint="set backend=tensor"
            )
        return [F.to_pil_image(image) for image in images.cpu()]

    def run(self, inputs: Sequence[Any]) -> list[Any]:
        """The steps on each image."""
        return [self.pipeline.run(image) for image in inputs]

    def collect(self, outputs: Sequence[Any]) -> Tensor:
        """The results stacked, as value / 255."""
        return _to_float(torch.stack([F.pil_to_tensor(image) for image in outputs]))


EXECUTIONS: Mapping[str, Callable[[Pipeline], Execution]] = {"batched": Batched, "loop": Loop, "pil": PilLoop}


def execute(execution: Execution, images: Tensor) -> Tensor:
    """All three parts of an execution: uint8 (B, C, H, W) with B ≥ 1 to float32 (B, C', H', W')."""
    return execution.collect(execution.run(execution.prepare(images)))


def _to_input(images: Tensor, dtype: DType) -> Tensor:
    if dtype == "uint8":
        return images
    return _to_float(images)


def _to_float(images: Tensor) -> Tensor:
    # Divided, for the float nearest to value / 255; a product with 1 / 255 is off by one rounding.
    return images.float().div_(255) if images.dtype == torch.uint8 else images

"""Batches in parts: their gradients add up to those of the whole batch; they shrink where memory ends."""

from __future__ import annotations

import gc
import logging
import math
from dataclasses import dataclass, replace

import torch

from nnkit.training.memory import is_out_of_memory, release_traceback
from nnkit.types import Batch

logger = logging.getLogger("nnkit")


@dataclass
class Parts:
    """Into how many parts of equal size a batch is split. With `shrinks`, more when memory runs out.

    `what` names the batches in messages: "training" or "evaluation".
    """

    number: int = 1
    shrinks: bool = False
    what: str = "training"

    def split(self, batch: Batch) -> list[Batch]:
        """The parts of a batch; the last may be smaller."""
        num_images = len(batch.targets)
        size = math.ceil(num_images / self.number)
        if size >= num_images:
            return [batch]
        return [
            replace(
                batch,
                inputs=batch.inputs[at : at + size],
                targets=batch.targets[at : at + size],
                indices=batch.indices[at : at + size],
                mask=None if batch.mask is None else batch.mask[at : at + size],
            )
            for at in range(0, num_images, size)
        ]

    def shrink(self, error: BaseException, batch: Batch) -> bool:
        """Whether to try again with parts of half the size, after what `error` held is freed.

        False for another error than out of memory, where nothing smaller is left, and without `shrinks`.
        """
        num_images = len(batch.targets)
        if not self.shrinks or not is_out_of_memory(error) or self.number >= num_images:
            return False
        release_traceback(error)
        gc.collect()
        if batch.inputs.device.type == "cuda":
            torch.cuda.empty_cache()
        elif batch.inputs.device.type == "mps":
            torch.mps.empty_cache()
        self.number *= 2
        size = math.ceil(num_images / self.number)
        logger.warning("out of memory: %s goes on with %d images at once", self.what, size)
        return True

"""Rendered one-channel digits in three sizes: variable-resolution data made from a seed, without a file."""

from __future__ import annotations

import numpy as np
import torch

from nnkit.data.images import Images
from nnkit.data.render import NUM_CLASSES, render_digits
from nnkit.data.splits import balanced, check_seed, classification_data
from nnkit.types import Data, DataPlace, Task

SIDES = (32, 48, 64)
COUNTS = {"train": 10_000, "val": 2_000, "test": 2_000}


class DigitsVarres:
    """Ten classes of drawn digits on canvases of 32×32, 48×48 and 64×64: 10,000 / 2,000 / 2,000 images.

    `seed`: another seed draws other digits. The digits are equally large on every canvas. Classes and sizes
    are equally frequent in each split, and independent. Needs no file and no network.
    """

    task: Task = "classification"
    default_model = "varres-net"

    def __init__(self, *, seed: int = 0) -> None:
        self.seed = check_seed(seed)

    def load(self, place: DataPlace) -> Data:
        """Draw the digits: 14,000 uint8 images of one channel. `place` is not used."""
        rng = np.random.default_rng(self.seed)
        labels = np.concatenate([balanced(NUM_CLASSES, count, rng) for count in COUNTS.values()])
        group_of = np.concatenate([balanced(len(SIDES), count, rng) for count in COUNTS.values()])
        groups = {
            (side, side): torch.from_numpy(render_digits(labels[group_of == group], side, rng=rng)[:, None])
            for group, side in enumerate(SIDES)
        }
        ends = np.cumsum(list(COUNTS.values()))
        parts = dict(zip(COUNTS, np.split(np.arange(len(labels)), ends[:-1]), strict=True))
        names = [str(digit) for digit in range(NUM_CLASSES)]
        images, targets = Images(groups, group_of), torch.from_numpy(labels)
        return classification_data(images, targets, parts, names)

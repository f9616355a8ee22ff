"""Rendered digits, one channel of 28×28: the default dataset, made from a seed, without a file."""

from __future__ import annotations

import numpy as np
import torch

from nnkit.data.images import Images
from nnkit.data.render import NUM_CLASSES, render_digits
from nnkit.data.splits import balanced, check_seed, classification_data
from nnkit.types import Data, DataPlace, Task

SIDE = 28
COUNTS = {"train": 10_000, "val": 2_000, "test": 2_000}


class Digits:
    """Ten classes of drawn digits with random pose, 28×28×1: 10,000 train, 2,000 validate, 2,000 test.

    `seed`: another seed draws other digits. Every class is as frequent as any other in each split. Made in
    about a second; needs no file and no network.
    """

    task: Task = "classification"
    default_model = "mnist-convnet"

    def __init__(self, *, seed: int = 0) -> None:
        self.seed = check_seed(seed)

    def load(self, place: DataPlace) -> Data:
        """Draw the digits: uint8 images (14,000, 1, 28, 28). `place` is not used."""
        rng = np.random.default_rng(self.seed)
        labels = np.concatenate([balanced(NUM_CLASSES, count, rng) for count in COUNTS.values()])
        images = torch.from_numpy(render_digits(labels, SIDE, rng=rng)[:, None])
        ends = np.cumsum(list(COUNTS.values()))
        parts = dict(zip(COUNTS, np.split(np.arange(len(labels)), ends[:-1]), strict=True))
        names = [str(digit) for digit in range(NUM_CLASSES)]
        return classification_data(Images.from_tensor(images), torch.from_numpy(labels), parts, names)

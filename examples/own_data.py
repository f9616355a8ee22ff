"""One's own tensors and one's own module: train, compare two optimizers, evaluate, and keep the run.

    python examples/own_data.py [FOLDER]

The images are made up: each shows one bright bar, and its class is the bar's direction. The run is kept in
FOLDER (default: runs/own-data), and `nnkit runs show FOLDER` reads it.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import Tensor, nn

import nnkit


def bars(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Grey images (N, 1, 16, 16), uint8, and their classes: 0 a bar across, 1 a bar down."""
    draws = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 150, (count, 1, 16, 16), generator=draws, dtype=torch.uint8)
    classes = torch.randint(0, 2, (count,), generator=draws)
    places = torch.randint(0, 16, (count,), generator=draws)
    for image, direction, place in zip(images, classes, places, strict=True):
        image.select(1 + int(direction), int(place)).fill_(180)
    return images, classes


class BarNet(nn.Module):
    """A convolution with filters as long as a bar, and the largest answer of each."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.across = nn.Conv2d(1, 4, (1, 16))
        self.down = nn.Conv2d(1, 4, (16, 1))
        self.head = nn.Linear(8, num_classes)

    def forward(self, inputs: Tensor) -> Tensor:
        """Images (B, 1, 16, 16) to logits (B, K)."""
        found = [self.across(inputs).amax((2, 3)), self.down(inputs).amax((2, 3))]
        logits: Tensor = self.head(torch.cat(found, 1))
        return logits


def main(folder: Path) -> None:
    """Train with two optimizers on the same data, keep the better by validation, and test that one alone."""
    data = nnkit.Data(train=bars(2000, 1), test=bars(500, 2), class_names=["across", "down"])
    shared = {"dataset": data, "model": BarNet, "epochs": 3, "test": False}
    runs = {
        name: nnkit.train(optimizer=name, out=folder / name.partition(":")[0], **shared)
        for name in ("adam:lr=0.02", "sgd:lr=0.1,momentum=0.9")
    }
    for name, run in runs.items():
        print(f"{name}: validation accuracy {100 * run.best.value:.1f} % after {run.epochs} epochs")
    best = max(runs.values(), key=lambda run: run.best.value)

    found = nnkit.evaluate(best.run_dir, dataset=data, model=BarNet(2))
    print(f"test accuracy of the better: {100 * found.metrics.accuracy:.1f} %; it is in {best.run_dir}")
    net = nnkit.load(best.run_dir, model=BarNet(2))  # float images in [0, 1] in, normalisation inside
    images, classes = bars(5, 3)
    print("five new images:", net(images / 255).argmax(1).tolist(), "are", classes.tolist())


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("runs/own-data"))

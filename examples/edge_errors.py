"""Errors of transform networks at the edge and in the middle of the image, with their time and size.

    python examples/edge_errors.py RUN RUN ...

Each RUN is a run directory of `nnkit train --dataset cifar-transform:...`. Errors are mean absolute errors on
the test images in 8-bit values; the edge is the outermost two rows and columns. Times are of 10,000 images in
batches of 256, all networks in the same interleaved rounds.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import Tensor, nn

import nnkit
from nnkit.build import build
from nnkit.config import resolve
from nnkit.present.layout import table
from nnkit.studies.bench.timing import interleave
from nnkit.studies.paths import data_place
from nnkit.studies.train.config import TrainConfig
from nnkit.types import Split

EDGE = 2
BATCH = 256
IMAGES = 10_000
ROUNDS = 7


def inputs_and_targets(run: Path) -> tuple[Tensor, Tensor]:
    """The test images of a run's dataset in [0, 1], and what the pipeline makes of them."""
    config = resolve(TrainConfig, {}, files=[run / "config.toml"]).config
    test: Split = build("datasets", config.dataset).load(data_place(config)).splits["test"]
    images, _ = test.images.fetch(test.indices[:IMAGES])
    return images.float() / 255, test.targets[torch.from_numpy(test.indices[:IMAGES])]


def apply(net: nn.Module, inputs: Tensor) -> Tensor:
    """All outputs, batch by batch."""
    with torch.inference_mode():
        return torch.cat([net(batch) for batch in inputs.split(BATCH)])


def main() -> None:
    """Print a row for each run."""
    runs = [Path(argument) for argument in sys.argv[1:]]
    if not runs:
        sys.exit(__doc__)
    inputs, targets = inputs_and_targets(runs[0])
    nets = {str(run): nnkit.load(run) for run in runs}
    timings = interleave(
        {name: lambda net=net: apply(net, inputs) for name, net in nets.items()}, rounds=ROUNDS
    )
    rows = []
    for run, (name, net) in zip(runs, nets.items(), strict=True):
        error = (apply(net, inputs) - targets).abs() * 255
        middle = error[..., EDGE:-EDGE, EDGE:-EDGE]
        edge = (error.sum() - middle.sum()) / (error.numel() - middle.numel())
        model = resolve(TrainConfig, {}, files=[run / "config.toml"]).config.model
        parameters = sum(p.numel() for p in net.parameters())
        row = [str(model), parameters, f"{edge:.2f}", f"{middle.mean():.2f}"]
        rows.append(
            [*row, f"{1e3 * timings[name].median_s:.0f} ms" + (" (noisy)" if timings[name].noisy else "")]
        )
    headers = ["model", "parameters", "edge, 8-bit values", "middle, 8-bit values", f"{IMAGES:,} images"]
    print(table(rows, headers, width=100))


if __name__ == "__main__":
    main()

"""Padded pixels and images per second of training `varres-net`, with and without buckets.

20,000 grey images of noise, with log-normal sizes (median side 48, sigma 0.35) and aspect ratios (sigma
0.25), padded in four ways: to the largest image of the data set; to the largest of each random batch; to one
of 32 bucket shapes (`max_buckets=32`); and to the largest of each batch of a bucket (`pad_to=batch` as well).
The first two go without masks, which makes them faster and their results wrong; the buckets' have masks.

A round times each arm on a fixed sample of its epoch's batches, spread evenly over their sizes; its pixels
per image, padding included, are printed beside the whole epoch's. Images per second count images, not
padding. Run it with nothing else on the machine:

    python examples/bucket_waste.py
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from nnkit.build import build
from nnkit.data.bucketing import IndexBatch, plan_batches
from nnkit.data.images import Images
from nnkit.studies.bench.timing import Timing, interleave, paired_ratio
from nnkit.training.devices import put_on
from nnkit.training.masks import output_of
from nnkit.types import Batch

MEDIAN_SIDE, SIDE_SIGMA, ASPECT_SIGMA, MIN_SIDE = 48, 0.35, 0.25, 8
NUM_CLASSES = 10
MAX_BUCKETS = 32
PIXELS_PER_ROUND = 8_000_000
"""What an arm computes in a round, padding included: a few seconds on one core."""


@dataclass(frozen=True)
class Plan:
    """One way to pad: all batches of an epoch, and whether the model is given their masks."""

    batches: Sequence[IndexBatch]
    masked: bool

    def padded_share(self, sizes: np.ndarray) -> float:
        """Pixels of an epoch that are no image's, in [0, 1]."""
        computed = sum(_pixels(batch) for batch in self.batches)
        held = sum(int(sizes[batch.indices].prod(axis=1).sum()) for batch in self.batches)
        return 1 - held / computed

    def sample(self) -> list[IndexBatch]:
        """Batches of about `PIXELS_PER_ROUND` in all, evenly spaced in the order of their pixels."""
        in_order = sorted(self.batches, key=_pixels)
        mean = sum(_pixels(batch) for batch in in_order) / len(in_order)
        count = min(len(in_order), max(1, round(PIXELS_PER_ROUND / mean)))
        return [in_order[int((place + 0.5) * len(in_order) / count)] for place in range(count)]


class Arm:
    """A network of its own, trained on its sample of batches."""

    def __init__(self, plan: Plan, images: Images, labels: torch.Tensor) -> None:
        self.plan, self.images, self.labels = plan, images, labels
        self.sample = plan.sample()
        self.num_images = sum(len(batch) for batch in self.sample)
        torch.manual_seed(0)
        model = build("models", "varres-net", known={"in_channels": 1, "num_classes": NUM_CLASSES})
        self.model = put_on(model, torch.device("cpu"), channels_last=True)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-3, fused=True)

    def run(self) -> None:
        """A training step on each batch of the sample."""
        for batch in self.sample:
            self.optimizer.zero_grad(set_to_none=True)
            given = self._batch(batch)
            nn.functional.cross_entropy(output_of(self.model, given), given.targets).backward()
            self.optimizer.step()

    def _batch(self, batch: IndexBatch) -> Batch:
        images, mask = self.images.fetch(batch.indices, (batch.height, batch.width))
        inputs = images.float().div_(255).sub_(0.5).div_(0.3)
        if mask is not None and self.plan.masked:
            inputs = inputs.masked_fill_(~mask, 0)
        targets = self.labels[torch.from_numpy(batch.indices)]
        return Batch(
            inputs.contiguous(memory_format=torch.channels_last),
            targets,
            batch.indices,
            mask if self.plan.masked else None,
        )


def make_images(count: int, rng: np.random.Generator) -> Images:
    """Noise in log-normal sizes and aspect ratios."""
    side = MEDIAN_SIDE * np.exp(rng.normal(0, SIDE_SIGMA, count))
    stretch = np.exp(rng.normal(0, ASPECT_SIGMA, count) / 2)
    sizes = np.stack([side * stretch, side / stretch], axis=1).round().astype(int).clip(MIN_SIDE)
    return Images.from_arrays([rng.integers(0, 256, tuple(size), np.uint8) for size in sizes])


def make_plans(sizes: np.ndarray, batch_size: int, rng: np.random.Generator) -> dict[str, Plan]:
    """The four ways to pad one epoch."""
    order, (height, width) = rng.permutation(len(sizes)), sizes.max(axis=0).tolist()
    parts = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    buckets = {"batch_size": batch_size, "max_buckets": MAX_BUCKETS}
    return {
        "largest of all": Plan([IndexBatch(part, height, width) for part in parts], masked=False),
        "largest of batch": Plan(
            [IndexBatch(part, *sizes[part].max(axis=0).tolist()) for part in parts], masked=False
        ),
        "32 buckets": Plan(plan_batches(sizes, **buckets), masked=True),
        "32 buckets, pad_to=batch": Plan(plan_batches(sizes, pad_to="batch", **buckets), masked=True),
    }


def main() -> None:
    """Print padded share and images per second of each way, and the buckets' speed over the others'."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    started = time.perf_counter()
    rng = np.random.default_rng(0)
    images = make_images(options.images, rng)
    labels = torch.from_numpy(rng.integers(0, NUM_CLASSES, options.images))
    plans = make_plans(images.sizes, options.batch_size, rng)
    arms = {name: Arm(plan, images, labels) for name, plan in plans.items()}
    timings = interleave({name: arm.run for name, arm in arms.items()}, rounds=options.rounds)
    per_image = {name: _per_image(timings[name], arm.num_images) for name, arm in arms.items()}
    smallest, largest = ("×".join(map(str, ends(images.sizes, axis=0))) for ends in (np.min, np.max))
    print(f"{len(images):,} images from {smallest} to {largest}, batches of {options.batch_size}")
    for name, timing in per_image.items():
        noisy = " (noisy)" if timing.noisy else ""
        padded = plans[name].padded_share(images.sizes)
        sampled, all_of_it = (_pixels_per_image(part) for part in (arms[name].sample, plans[name].batches))
        print(
            f"{name:25} {padded:6.1%} padded {1 / timing.median_s:9,.0f} images/s{noisy}, "
            f"{sampled:,.0f} pixels per image timed, {all_of_it:,.0f} in the epoch"
        )
    for name in ("32 buckets", "32 buckets, pad_to=batch"):
        for other in ("largest of all", "largest of batch"):
            ratio = paired_ratio(per_image[other], per_image[name])
            print(f"{name}: {ratio.value:.2f} times {other} [{ratio.low:.2f}, {ratio.high:.2f}]")
    threads, seconds = torch.get_num_threads(), time.perf_counter() - started
    print(f"{options.rounds} rounds, {threads} threads, {seconds:.0f} s in all")


def _per_image(timing: Timing, num_images: int) -> Timing:
    return Timing(tuple(sample / num_images for sample in timing.samples))


def _pixels_per_image(batches: Sequence[IndexBatch]) -> float:
    return sum(map(_pixels, batches)) / sum(map(len, batches))


def _pixels(batch: IndexBatch) -> int:
    return len(batch) * batch.height * batch.width


if __name__ == "__main__":
    main()

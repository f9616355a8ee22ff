"""What `nnkit train --deterministic` costs: an epoch with it over the same epoch without, round by round.

Two runs of one model on rendered digits take turns; nothing else should run on the machine.

    python benchmarks/deterministic_cost.py [MODEL] [DEVICE]
"""

from __future__ import annotations

import sys

import torch

from nnkit.config import resolve
from nnkit.studies.bench.timing import interleave, paired_ratio
from nnkit.studies.paths import data_place
from nnkit.studies.train.config import TrainConfig
from nnkit.studies.train.experiment import complete_with_dataset, prepare, start_state
from nnkit.training.determinism import deterministic
from nnkit.training.devices import choose_device
from nnkit.training.loop import fit
from nnkit.types import EpochResult

ROUNDS = 15


def main(model: str = "mnist-convnet", device: str = "auto") -> None:
    """Print the time of an epoch in each way, and their ratio with its 95 % interval."""
    options = {"dataset": "digits", "model": model, "epochs": 10**6, "device": device}
    resolved, dataset = complete_with_dataset(resolve(TrainConfig, options))
    data, place, runs = dataset.load(data_place(resolved.config)), choose_device(device), {}
    for wanted in (False, True):
        x = prepare(resolved.config, data, place)
        runs[wanted] = fit(start_state(x), x.model, x.loss, x.data, x.train, x.val, x.recipe)

    def epoch(wanted: bool) -> None:  # an epoch ends with its metrics read, so the device is done
        with deterministic(wanted):
            next(event for event in runs[wanted] if isinstance(event, EpochResult))

    timings = interleave({"without": lambda: epoch(False), "with": lambda: epoch(True)}, rounds=ROUNDS)
    ratio = paired_ratio(timings["with"], timings["without"])
    for name, timing in timings.items():
        print(f"{name:8} {timing.median_s:8.3f} s an epoch{' (noisy)' if timing.noisy else ''}")
    print(f"--deterministic takes {ratio.value:.3f} times as long [{ratio.low:.3f}, {ratio.high:.3f}]")
    print(f"{model} on {place}, {torch.get_num_threads()} threads, {ROUNDS} rounds")


if __name__ == "__main__":
    main(*sys.argv[1:])

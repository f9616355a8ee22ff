"""What saving at each epoch costs: the share of time in saves, and runs with and without them in turn.

    python benchmarks/checkpoint_cost.py --rounds 3

It trains `mnist-convnet` on MNIST (NNKIT_DATA) at batch 64. The second figure also holds what a save does to
the steps after it, but differs between rounds by more than the first figure is.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import nnkit
from nnkit.present import figures
from nnkit.studies.train.saving import Saver

_save = Saver._save


def seconds(*, saves: bool, epochs: int) -> tuple[float, float]:
    """Seconds per epoch, and of them in saves."""
    spent = [0.0]

    def timed(self: Saver, best: Any) -> None:
        started = time.perf_counter()
        if saves:
            _save(self, best)
        spent[0] += time.perf_counter() - started

    Saver._save = timed  # type: ignore[method-assign]
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        started = time.perf_counter()
        nnkit.train(dataset="mnist", epochs=epochs, test=False, runs_dir=folder, observers=[])
        return (time.perf_counter() - started) / epochs, spent[0] / epochs


def main() -> None:
    """Print each round's figures and their medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=3)
    given = parser.parse_args()
    figures.draw_training = lambda *parts: []
    nnkit.train(dataset="mnist", epochs=1, limit=640, test=False, runs_dir=tempfile.mkdtemp())  # warm-up
    shares, ratios = [], []
    for number in range(given.rounds):
        order = (True, False) if number % 2 else (False, True)
        found = {saves: seconds(saves=saves, epochs=given.epochs) for saves in order}
        shares.append(found[True][1] / found[True][0])
        ratios.append(found[True][0] / found[False][0])
        print(
            f"round {number + 1}: {found[True][1] * 1e3:.1f} ms of {found[True][0]:.2f} s per epoch in saves,"
        )
        print(f"         {shares[-1]:.3%}; with saves over without: {ratios[-1]:.3f}")
    print(
        f"median: {statistics.median(shares):.3%} in saves; with over without {statistics.median(ratios):.3f}"
    )


if __name__ == "__main__":
    main()

"""Compare resizing all images to one size with a network for images of any size, as report D does.

Trains `varres-resized-32.toml` (every image brought to 28×28, `mnist-convnet`, 29,066 parameters) and
`varres-max.toml` (each image in its original size, `varres-net` of width 81, 29,029 parameters) from the same
seeds, and prints the test accuracies with the paired difference. The report: 96.8 % against 98.89 %.

    python examples/resized_against_variable.py --data-root DIR --seeds 0-4
"""

from __future__ import annotations

import argparse
from pathlib import Path

import nnkit
from nnkit.options import read_seeds
from nnkit.present.layout import table
from nnkit.studies.statistics import differences, estimate

HERE = Path(__file__).parent
ARMS = {"resized to 28×28": "varres-resized-32.toml", "original resolution": "varres-max.toml"}


def main() -> None:
    """Train both with every seed; print a row for each and their difference."""
    parser = argparse.ArgumentParser(description="resized against variable resolution on MNIST-varres")
    parser.add_argument("--seeds", default="0-4")
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--limit", type=int, help="images of each split, for a quick try")
    given = parser.parse_args()
    seeds = read_seeds(given.seeds)
    options = {key: getattr(given, key) for key in ("data_root", "threads", "limit")}
    options = {key: value for key, value in options.items() if value is not None}
    found: dict[str, list[float]] = {name: [] for name in ARMS}
    rows = []
    for name, file in ARMS.items():
        for seed in seeds:
            result = nnkit.train(config=[HERE / file], seed=seed, **options)
            found[name].append(result.test.accuracy)
            print(f"{name}, seed {seed}: {found[name][-1]:.2%}, {result.run_dir}", flush=True)
        mean = estimate(found[name])
        rows.append([name, f"{result.parameters:,}", f"{mean.mean:.2%}", interval(mean.ci95)])
    difference = estimate(differences(found["own resolution"], found["resized to 28×28"]))
    rows.append(["difference", "", f"{difference.mean:+.2%}", interval(difference.ci95)])
    print("\n" + table(rows, ["images", "parameters", "test accuracy", "95 %"], align="nrrn"))


def interval(ci95: tuple[float, float] | None) -> str:
    """A 95 % interval in percent; a dash where one seed gives none."""
    return "–" if ci95 is None else f"{ci95[0]:.2%} to {ci95[1]:.2%}"


if __name__ == "__main__":
    main()

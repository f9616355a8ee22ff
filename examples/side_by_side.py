"""One picture of several runs on the same images: input, target, each run's output, and the differences.

    python examples/side_by_side.py FOLDER NAME=RUN NAME=RUN ...

The runs are directories of `nnkit train` on one transform dataset; examples.png and its data go to FOLDER.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

import nnkit
from nnkit.build import build
from nnkit.config import resolve
from nnkit.present.figures import write_examples
from nnkit.studies.paths import data_place
from nnkit.studies.train.config import TrainConfig
from nnkit.studies.train.figures import make_examples


def main() -> None:
    """Write the picture."""
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    folder, *pairs = sys.argv[1:]
    runs = {name: Path(run) for name, _, run in (pair.partition("=") for pair in pairs)}
    config = resolve(TrainConfig, {}, files=[next(iter(runs.values())) / "config.toml"]).config
    data = build("datasets", config.dataset).load(data_place(config))
    models = {name: nnkit.load(run) for name, run in runs.items()}
    Path(folder).mkdir(parents=True, exist_ok=True)
    examples = make_examples(data, models, torch.device("cpu"))
    if examples is None:
        sys.exit("the dataset has no validation images")
    for path in write_examples(Path(folder), examples.inputs, examples.targets, examples.outputs):
        print(path)


if __name__ == "__main__":
    main()

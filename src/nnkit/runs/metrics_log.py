"""metrics.jsonl: one JSON record a line, for each epoch, and for each step of the first epoch."""

from __future__ import annotations

from dataclasses import asdict

from nnkit.runs.lines import LinesFile
from nnkit.types import EpochResult

TIMES = ("train_s", "data_wait_s", "seconds", "images_per_s")
"""What a record says of how fast the machine was: no two runs agree on it."""


class MetricsFile(LinesFile):
    """The log of a training while it is written."""

    def step(self, *, epoch: int, step: int, loss: float, learning_rate: float) -> None:
        """Append one step."""
        self.append(
            {"kind": "step", "epoch": epoch, "step": step, "loss": loss, "learning_rate": learning_rate}
        )

    def epoch(self, result: EpochResult) -> None:
        """Append one epoch and let readers see it."""
        record = asdict(result)
        del record["validation"]  # all its values are in `metrics` and `by_resolution`
        del record["higher_is_better"]
        self.append({"kind": "epoch", **record}, flush=True)

"""Progress of a run on stderr: a bar on a terminal, else a line per epoch."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any

from nnkit.types import EpochResult, StepResult


class Progress:
    """An observer of training. It never reads a loss between epochs: that would make the device wait."""

    def __init__(self, *, quiet: bool) -> None:
        self._epochs = 0
        self._quiet = quiet
        self._bar: Any = None

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the bar; the next run has one of its own."""
        if self._bar is not None:
            self._bar.close()

    def on_start(self, *, epochs: int, seed: int) -> None:
        """Say the seed, and open the bar."""
        self._epochs = epochs
        if self._quiet:
            return
        print(f"nnkit: training with seed {seed}", file=sys.stderr, flush=True)
        if sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(unit=" img", unit_scale=True, leave=False, dynamic_ncols=True)

    def on_plan(self, *, images_per_epoch: int) -> None:
        """Set the total of the bar, so that it shows the share done and the time left."""
        if self._bar is not None:
            self._bar.total = self._epochs * images_per_epoch
            self._bar.refresh()

    def on_resume(self, *, epochs_done: int, images_done: int) -> None:
        """Begin the bar where the run was."""
        if self._bar is not None and self._bar.total:
            self._bar.n = epochs_done * (self._bar.total // self._epochs) + images_done
            self._bar.initial = self._bar.n
            self._bar.refresh()

    def on_step(self, step: StepResult) -> None:
        """Move the bar."""
        if self._bar is not None:
            self._bar.set_description_str(f"epoch {step.epoch}/{self._epochs}", refresh=False)
            self._bar.update(step.num_images)

    def on_epoch(self, epoch: EpochResult) -> None:
        """Say how the epoch went."""
        if self._quiet:
            return
        parts = [f"{key} {value:.4g}" for key, value in sorted(epoch.metrics.items()) if _worth_a_word(key)]
        line = f"epoch {epoch.epoch}/{self._epochs}: {', '.join(parts)}; {epoch.images_per_s:,.0f} img/s"
        if self._bar is not None:
            self._bar.write(line, file=sys.stderr)
        else:
            print(line, file=sys.stderr, flush=True)


def _worth_a_word(key: str) -> bool:
    return key in ("train_loss", "val_loss", "val_accuracy", "val_mae_sum", "val_cosine_accuracy")

"""Curves of training: by epoch, also for each resolution or seed, and by step within the first epoch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nnkit.present import drawing
from nnkit.results.runs import EpochRecord
from nnkit.types import EpochResult, Task, resolution_order

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_RESOLUTIONS = len(drawing.PALETTE)

# Per metric: title, y label, factor from the value to the label's unit.
_METRICS: Mapping[str, tuple[str, str, float]] = {
    "loss": ("Loss", "loss", 1.0),
    "accuracy": ("Accuracy", "accuracy (%)", 100.0),
    "mae_sum": ("Error", "summed absolute error per image", 1.0),
}
_SPLITS = {"train": "training", "val": "validation"}


def write_curves(
    folder: Path, epochs: Sequence[EpochResult], task: Task, *, best_epoch: int | None = None
) -> list[Path]:
    """Write curves.png and curves.csv: loss and accuracy (transforms: summed absolute error) by epoch.

    The CSV holds every metric of every epoch. Without epochs nothing is written and the list is empty.
    """
    if not epochs:
        return []
    figure = drawing.new_figure(10.0, 4.2)
    second = "accuracy" if task == "classification" else "mae_sum"
    for place, name in enumerate(("loss", second), start=1):
        _draw_metric(figure.add_subplot(1, 2, place), epochs, name, best_epoch)
    return [
        drawing.save_figure(figure, folder / "curves.png"),
        _save_epochs(epochs, best_epoch, folder / "curves.csv"),
    ]


def write_resolution_curves(folder: Path, epochs: Sequence[EpochResult]) -> list[Path]:
    """Write curves-by-resolution.png and .csv: validation loss and accuracy of each resolution by epoch.

    The picture shows at most seven resolutions, evenly picked by size; the CSV holds all. Where no epoch
    has per-resolution metrics nothing is written and the list is empty.
    """
    names = sorted({name for epoch in epochs for name in epoch.by_resolution}, key=resolution_order)
    if not names:
        return []
    shown = _pick(names, MAX_RESOLUTIONS)
    metrics = _union(values for epoch in epochs for values in epoch.by_resolution.values())
    drawn = [name for name in _METRICS if name in metrics]
    figure = drawing.new_figure(5.0 * max(len(drawn), 1), 4.4)
    for place, name in enumerate(drawn, start=1):
        _draw_resolutions(figure.add_subplot(1, len(drawn), place), epochs, name, shown)
    if len(shown) < len(names):
        figure.suptitle(f"{len(shown)} of {len(names)} resolutions; all are in the .csv", fontsize=10)
    return [
        drawing.save_figure(figure, folder / "curves-by-resolution.png"),
        _save_resolutions(epochs, names, metrics, folder / "curves-by-resolution.csv"),
    ]


def write_first_epoch(folder: Path, steps: Sequence[tuple[int, float]]) -> list[Path]:
    """Write first-epoch.png and first-epoch.csv: the loss of each (step, loss) of the first epoch.

    The line is a centred moving mean over about a fortieth of the steps. Without steps nothing is written and
    the list is empty.
    """
    if not steps:
        return []
    numbers = [step for step, _ in steps]
    losses = np.array(drawing.finite_or_gap(loss for _, loss in steps))
    window = max(3, len(steps) // 40) | 1
    smooth = moving_mean(losses, window)
    figure = drawing.new_figure(7.5, 4.2)
    axes = figure.add_subplot()
    drawing.style_axes(axes, title="Loss in the first epoch", x_label="step", y_label="loss of the batch")
    axes.plot(numbers, losses, ".", color=drawing.PALETTE[5], markersize=4, alpha=0.7, label="each batch")
    axes.plot(numbers, smooth, color=drawing.PALETTE[0], linewidth=1.8, label=f"mean over {window} batches")
    _whole_numbers(axes, numbers)
    drawing.scale_y(axes, losses, log_from=3.0)
    drawing.add_legend(axes)
    rows = zip(numbers, (float(loss) for _, loss in steps), smooth.tolist(), strict=True)
    return [
        drawing.save_figure(figure, folder / "first-epoch.png"),
        drawing.save_csv(("step", "loss", "smoothed"), rows, folder / "first-epoch.csv"),
    ]


def write_seed_curves(folder: Path, runs: Mapping[int, Sequence[EpochRecord]], task: Task) -> list[Path]:
    """Write curves-by-seed.png and .csv: the validation curves of each seed, and their mean.

    Without validation images they are the training's. The mean ends with the shortest run. The CSV holds
    every metric of every epoch and seed. Without epochs nothing is written and the list is empty.
    """
    if not any(runs.values()):
        return []
    figure = drawing.new_figure(10.0, 4.2)
    second = "accuracy" if task == "classification" else "mae_sum"
    for place, name in enumerate(("loss", second), start=1):
        _draw_seeds(figure.add_subplot(1, 2, place), runs, name)
    return [
        drawing.save_figure(figure, folder / "curves-by-seed.png"),
        _save_seeds(runs, folder / "curves-by-seed.csv"),
    ]


def moving_mean(values: np.ndarray, window: int) -> np.ndarray:
    """Centred mean over `window` (odd) values, fewer at the ends; gaps (NaN) are left out."""
    known = np.isfinite(values)
    kernel = np.ones(window)
    half = window // 2
    sums = np.convolve(np.where(known, values, 0.0), kernel)[half : half + len(values)]
    counts = np.convolve(known.astype(float), kernel)[half : half + len(values)]
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def _draw_metric(axes: Axes, epochs: Sequence[EpochResult], name: str, best_epoch: int | None) -> None:
    title, label, factor = _METRICS[name]
    drawing.style_axes(axes, title=title, x_label="epoch", y_label=label)
    numbers = [epoch.epoch for epoch in epochs]
    plotted: list[float] = []
    for place, (split, words) in enumerate(_SPLITS.items()):
        values = drawing.finite_or_gap(epoch.metrics.get(f"{split}_{name}") for epoch in epochs)
        if not np.isfinite(values).any():
            continue
        scaled = [factor * value for value in values]
        plotted += scaled
        _line(axes, numbers, scaled, place, words)
    if best_epoch is not None:
        axes.axvline(
            best_epoch, color=drawing.GREY, linestyle="--", linewidth=1, label=f"best: epoch {best_epoch}"
        )
    _whole_numbers(axes, numbers)
    drawing.scale_y(axes, plotted)
    drawing.add_legend(axes)


def _draw_resolutions(axes: Axes, epochs: Sequence[EpochResult], name: str, shown: Sequence[str]) -> None:
    title, label, factor = _METRICS[name]
    drawing.style_axes(axes, title=f"{title}, validation", x_label="epoch", y_label=label)
    numbers = [epoch.epoch for epoch in epochs]
    plotted: list[float] = []
    for place, resolution in enumerate(shown):
        per_epoch = (_plain(epoch.by_resolution.get(resolution, {})) for epoch in epochs)
        values = [factor * value for value in drawing.finite_or_gap(row.get(name) for row in per_epoch)]
        plotted += values
        _line(axes, numbers, values, place, resolution)
    _whole_numbers(axes, numbers)
    drawing.scale_y(axes, plotted)
    drawing.add_legend(axes)


def _draw_seeds(axes: Axes, runs: Mapping[int, Sequence[EpochRecord]], name: str) -> None:
    title, label, factor = _METRICS[name]
    known = {key for epochs in runs.values() for epoch in epochs for key in epoch.metrics}
    split = next((split for split in ("val", "train") if f"{split}_{name}" in known), "val")
    drawing.style_axes(axes, title=f"{title}, {_SPLITS[split]}", x_label="epoch", y_label=label)
    curves = [
        [factor * value for value in drawing.finite_or_gap(e.metrics.get(f"{split}_{name}") for e in epochs)]
        for epochs in runs.values()
    ]
    for at, (epochs, values) in enumerate(zip(runs.values(), curves, strict=True)):
        words = f"each of {len(runs)} seeds" if len(runs) > 1 else "the seed"
        numbers = [epoch.epoch for epoch in epochs]
        axes.plot(numbers, values, color="#9A9A9A", linewidth=0.9, marker="o", markersize=2.5,
                  label="" if at else words)  # fmt: skip
    if len(runs) > 1:
        means = np.mean([values[: min(map(len, curves))] for values in curves], axis=0).tolist()
        _line(axes, range(1, len(means) + 1), means, 0, "mean")
    _whole_numbers(axes, [epoch.epoch for epochs in runs.values() for epoch in epochs])
    drawing.scale_y(axes, [value for values in curves for value in values])
    drawing.add_legend(axes)


def _line(axes: Axes, numbers: Sequence[int], values: Sequence[float], place: int, label: str) -> None:
    marker = drawing.MARKERS[place] if len(numbers) <= drawing.MAX_MARKED else ""
    color = drawing.PALETTE[place]
    axes.plot(numbers, values, color=color, marker=marker, markersize=4.5, linewidth=1.6, label=label)


def _whole_numbers(axes: Axes, numbers: Sequence[int]) -> None:
    from matplotlib.ticker import MaxNLocator

    margin = max(0.5, 0.02 * (max(numbers) - min(numbers)))
    axes.set_xlim(min(numbers) - margin, max(numbers) + margin)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=10, integer=True, min_n_ticks=1))


def _save_epochs(epochs: Sequence[EpochResult], best_epoch: int | None, path: Path) -> Path:
    names = list(dict.fromkeys(name for epoch in epochs for name in epoch.metrics))
    header = ["epoch", "step", "best", *names, "learning_rate", "seconds", "images_per_s"]
    rows = [
        [
            *(epoch.epoch, epoch.step, int(epoch.epoch == best_epoch)),
            *(epoch.metrics.get(name) for name in names),
            *(epoch.learning_rate, epoch.seconds, epoch.images_per_s),
        ]
        for epoch in epochs
    ]
    return drawing.save_csv(header, rows, path)


def _save_resolutions(
    epochs: Sequence[EpochResult], names: Sequence[str], metrics: Sequence[str], path: Path
) -> Path:
    rows = []
    for epoch in epochs:
        for name in names:
            if name in epoch.by_resolution:
                values = _plain(epoch.by_resolution[name])
                rows.append([epoch.epoch, name, *(values.get(metric) for metric in metrics)])
    return drawing.save_csv(["epoch", "resolution", *metrics], rows, path)


def _save_seeds(runs: Mapping[int, Sequence[EpochRecord]], path: Path) -> Path:
    names = list(
        dict.fromkeys(name for epochs in runs.values() for epoch in epochs for name in epoch.metrics)
    )
    rows = [
        [seed, epoch.epoch, *(epoch.metrics.get(name) for name in names)]
        for seed, epochs in runs.items()
        for epoch in epochs
    ]
    return drawing.save_csv(["seed", "epoch", *names], rows, path)


def _plain(metrics: Mapping[str, float]) -> dict[str, float]:
    return {name.removeprefix("val_"): value for name, value in metrics.items()}


def _union(rows: Iterable[Mapping[str, float]]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in _plain(row)))


def _pick(names: Sequence[str], limit: int) -> list[str]:
    if len(names) <= limit:
        return list(names)
    return [names[round(place)] for place in np.linspace(0, len(names) - 1, limit)]

"""Tables of the metrics of splits."""

from __future__ import annotations

from collections.abc import Mapping

from nnkit.present.layout import WIDTH, wide_table
from nnkit.present.text import metric
from nnkit.results.metrics import Classification, SplitMetrics
from nnkit.results.train import BestMetrics

_WORDS = {
    "mae_sum": "summed absolute error",
    "max_abs_error": "largest absolute error",
    "cosine_accuracy": "cosine ≥ 0.95",
    "psnr": "PSNR",
    "mse": "mean squared error",
    "macro_f1": "macro F1",
    "top_k": "top-k accuracy",
    "ssim": "SSIM",
}


def metric_pairs(metrics: SplitMetrics) -> list[tuple[str, object]]:
    """Each metric of one value, in words and with its unit."""
    return [(words(name), text) for name, text in _texts(metrics).items()]


def splits_table(best: BestMetrics, test: SplitMetrics | None, *, width: int = WIDTH) -> str:
    """A row per split, a column per metric: training and validation at the best epoch, and the test."""
    trained = {
        name.removeprefix("train_"): metric(name, value)
        for name, value in best.record.items()
        if name.startswith("train_")
    }
    rows: dict[str, Mapping[str, str | None]] = {
        "train": trained,
        "val": _texts(best.validation),
        "test": _texts(test) if test else {},
    }
    shown = {split: values for split, values in rows.items() if values}
    names = sorted(
        dict.fromkeys(name for values in shown.values() for name in values), key=lambda name: name != "loss"
    )
    return wide_table(
        [[split, *(values.get(name) for name in names)] for split, values in shown.items()],
        ["split", *map(words, names)],
        align="n" + "r" * len(names),
        width=width,
    )


def resolutions_table(metrics: SplitMetrics | None, *, split: str = "", width: int = WIDTH) -> str:
    """A row per original resolution, or range of them; empty where there are not several.

    Runs of earlier versions do not say how many images each has.
    """
    if not isinstance(metrics, Classification):
        return ""
    columns = {"accuracy": metrics.accuracy_by_resolution, "loss": metrics.loss_by_resolution}
    known = {name: values for name, values in columns.items() if values}
    resolutions = dict.fromkeys(key for values in known.values() for key in values)
    counts = metrics.images_by_resolution
    rows = [
        [
            key,
            *([counts.get(key)] if counts else []),
            *(metric(name, of.get(key)) for name, of in known.items()),
        ]
        for key in resolutions
    ]
    heads = ["resolution", *(["images"] if counts else []), *(split + name for name in known)]
    return wide_table(rows, heads, align="n" + "r" * (len(heads) - 1), width=width) if rows else ""


def words(name: str) -> str:
    """A metric's name in words."""
    return _WORDS.get(name, name.replace("_", " "))


def _texts(metrics: SplitMetrics) -> dict[str, str | None]:
    """Metrics of one value by name, written with their units."""
    if isinstance(metrics, Classification):
        own = {"loss": metrics.loss, "accuracy": metrics.accuracy, "macro_f1": metrics.macro_f1}
        known = {name: value for name, value in own.items() if value is not None}
        return {name: metric(name, value) for name, value in {**known, **metrics.components}.items()}
    values = {
        "loss": metrics.loss,
        "mse": metrics.mse,
        "mae_sum": metrics.mae_sum,
        "max_abs_error": metrics.max_abs_error,
        "psnr": metrics.psnr,
        "cosine_accuracy": metrics.cosine_accuracy,
        "values differing": metrics.levels.differing,
        "near a boundary": metrics.levels.near_boundary,
    }
    return {
        **{name: metric(name, value) for name, value in values.items()},
        "fidelity": metrics.fidelity.class_,
        **{name: metric(name, value) for name, value in metrics.components.items()},
    }

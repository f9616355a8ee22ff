"""Results as text tables, read in a terminal or a file: plain text without escapes.

Each takes the plain values that stand in the command's JSON. `width` is what a line may take; at 40 columns
tables wrap or stack, and nothing is cut but class names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nnkit.present.layout import WIDTH, fits, key_values, table
from nnkit.present.text import count, duration, metric, percent, shorten

if TYPE_CHECKING:
    import numpy as np

__all__ = [
    "components_table",
    "evaluate_table",
    "key_values",
    "runs_table",
    "settings_table",
    "table",
    "train_table",
]

MAX_MATRIX = 12
"""Most classes for which the confusion matrix is written out; beyond, the most frequent confusions are."""
NUM_CONFUSIONS = 10

_SHARES = ("precision", "recall", "accuracy")

_WORDS = {
    "mae_sum": "summed absolute error",
    "max_abs_error": "largest absolute error",
    "cosine_accuracy": "cosine ≥ 0.95",
    "psnr": "PSNR",
    "mse": "mean squared error",
}


def train_table(summary: Mapping[str, Any], *, width: int = WIDTH) -> str:
    """What `train` leaves: the run, then each metric at the best epoch and on the test split."""
    best, test = summary.get("best") or {}, summary.get("test") or {}
    speed = summary.get("images_per_s")
    pairs = [
        ("run", summary.get("run_dir")),
        ("dataset", summary.get("dataset")),
        ("model", summary.get("model")),
        ("loss", summary.get("loss")),
        ("parameters", count(summary.get("parameters"))),
        ("epochs", count(summary.get("epochs"))),
        ("stopped by", summary.get("stopped_by") or "the number of epochs"),
        ("best epoch", f"{count(best.get('epoch'))}, by {best.get('metric') or 'none'}"),
        ("time", f"{duration(summary.get('seconds'))}, {count(speed)} images/s"),
    ]
    pairs += _solver(summary.get("solver") or {})
    parts = [key_values(pairs, width=width), _splits_table(best.get("metrics") or {}, test, width)]
    return _join([*parts, _resolutions(test, width, "test ")])


def evaluate_table(result: Mapping[str, Any], *, width: int = WIDTH) -> str:
    """What `evaluate` finds: metrics, then each class, each resolution and the confusion matrix.

    Reads `run_dir`, `model`, `dataset`, `split`, `images`, `metrics`, `per_class` (rows of `name`, `count`,
    `precision`, `recall`, `accuracy`), `class_names` and `confusion` (counts, or counts by resolution with
    "all"). What is not there is left out.
    """
    heads = {"run": "run_dir", "model": "model", "dataset": "dataset", "split": "split", "images": "images"}
    metrics: Mapping[str, Any] = result.get("metrics") or {}
    pairs = [(word, result[key]) for word, key in heads.items() if result.get(key) is not None]
    pairs += [(_words(name), _value(name, value)) for name, value in _flat(metrics).items()]
    parts = [key_values(pairs, width=width), _classes(result.get("per_class") or (), width)]
    confusion = result.get("confusion")
    if isinstance(confusion, Mapping):
        confusion = confusion.get("all")
    names = result.get("class_names") or [row["name"] for row in result.get("per_class") or ()]
    return _join([*parts, _resolutions(metrics, width), _confusion(confusion, names, width)])


def components_table(components: Iterable[Mapping[str, Any]], *, width: int = WIDTH) -> str:
    """Components by group with provider, version and target; below, what is wrong with any of them."""
    listed = list(components)
    keys = ("group", "name", "provider", "version", "target")
    rows = [[row.get(key) or None for key in keys] for row in listed]
    errors = [f"{row['group']} {row['name']}: {row['error']}" for row in listed if row.get("error")]
    return _join(
        [
            table(rows, keys, align="nnlll", width=width),
            key_values([("error", text) for text in errors], width=width),
        ]
    )


def settings_table(settings: Iterable[Mapping[str, Any]], *, width: int = WIDTH) -> str:
    """A component's settings: rows of `name`, `type`, `default` (as text) and perhaps `help`."""
    keys, heads, align = ["name", "type", "default"], ["setting", "type", "default"], "nll"
    listed = list(settings)
    if any(row.get("help") for row in listed):
        keys, heads, align = [*keys, "help"], [*heads, "meaning"], align + "l"
    rows = [[_as_text(row.get(key)) for key in keys] for row in listed]
    return table(rows, heads, align=align, width=width)


def runs_table(runs: Iterable[Mapping[str, Any]], *, width: int = WIDTH) -> str:
    """Runs, one per line: `name, state, dataset, model, metric, best, epochs, seconds, started`.

    `best` is the value of `metric`. A name stays whole so that it can be copied; on a narrow terminal the
    columns give way one by one (started, model, dataset, time, epochs), and at last each run is a block.
    """
    listed = list(runs)
    columns = {
        "name": [row.get("name") for row in listed],
        "state": [row.get("state") for row in listed],
        "best": [metric(str(row.get("metric", "")), row.get("best")) for row in listed],
        "dataset": [row.get("dataset") for row in listed],
        "model": [row.get("model") for row in listed],
        "epochs": [count(row.get("epochs")) for row in listed],
        "time": [duration(row.get("seconds")) for row in listed],
        "started": [row.get("started") for row in listed],
    }
    letters = dict(zip(columns, "nnrnnrrn", strict=True))
    shown = list(columns)
    for given_way in ("", "started", "model", "dataset", "time", "epochs"):
        shown = [name for name in shown if name != given_way]
        rows = list(zip(*(columns[name] for name in shown), strict=True))
        align = "".join(letters[name] for name in shown)
        if fits(rows, shown, align, width):
            return table(rows, shown, align=align, width=width)
    return table(zip(*columns.values(), strict=True), list(columns), align="nnrnnrrn", width=width)


def _solver(solver: Mapping[str, Any]) -> list[tuple[str, object]]:
    """How weights were found other than by gradient, and what the model noted."""
    notes: list[tuple[str, object]] = [("note", note) for note in solver.get("notes") or ()]
    if "solver_s" not in solver:
        return notes
    images = f"{count(solver.get('images'))} images in {duration(solver['solver_s'])}"
    return [("solver", f"{solver.get('name')}, {images}"), *notes]


def _splits_table(best: Mapping[str, Any], test: Mapping[str, Any], width: int) -> str:
    columns: dict[str, dict[str, Any]] = {"train": {}, "val": {}, "test": _flat(test)}
    for name, value in _flat(best).items():
        split, _, rest = name.partition("_")
        known = split in columns
        columns[split if known else "val"][rest if known else name] = value
    shown = {split: values for split, values in columns.items() if values}
    names = dict.fromkeys(name for values in shown.values() for name in values)
    rows = [
        [_words(name), *(_value(name, values.get(name)) for values in shown.values())]
        for name in sorted(names, key=lambda name: name != "loss")
    ]
    return table(rows, ["metric", *shown], align="l" + "r" * len(shown), width=width) if rows else ""


def _resolutions(metrics: Mapping[str, Any], width: int, split: str = "") -> str:
    suffix = "_by_resolution"
    tables = {
        name.removesuffix(suffix): rows for name, rows in metrics.items() if name.endswith(suffix) and rows
    }
    resolutions = dict.fromkeys(key for rows in tables.values() for key in rows)
    rows = [[key, *(metric(name, of.get(key)) for name, of in tables.items())] for key in resolutions]
    heads = ["resolution", *(split + _words(name) for name in tables)]
    return table(rows, heads, align="n" + "r" * len(tables), width=width) if rows else ""


def _classes(per_class: Sequence[Mapping[str, Any]], width: int) -> str:
    rows = [
        [shorten(row["name"], 30), count(row.get("count")), *(percent(row.get(key)) for key in _SHARES)]
        for row in per_class
    ]
    heads = ["class", "images", *_SHARES]
    if not fits(rows, heads, "lrrrr", width):
        heads = ["class", "n", "prec.", "recall", "acc."]
    return table(rows, heads, align="lrrrr", width=width) if rows else ""


def _confusion(confusion: Any, names: Sequence[str], width: int) -> str:
    if confusion is None or not len(confusion):
        return ""
    import numpy as np  # here, so that `nnkit list` does not pay for it

    matrix = np.asarray(confusion)
    names = names or [str(place) for place in range(len(matrix))]
    for limit in (8, 4) if len(matrix) <= MAX_MATRIX else ():
        known = [shorten(name, limit) for name in names]
        rows = [[name, *map(int, row)] for name, row in zip(known, matrix, strict=True)]
        heads, align = ["true", *known], "n" + "r" * len(known)
        if fits(rows, heads, align, width):
            return "rows: true class, columns: predicted\n\n" + table(rows, heads, align=align, width=width)
    return _confusions(matrix, [shorten(name, 30) for name in names], width)


def _confusions(matrix: np.ndarray, names: Sequence[str], width: int) -> str:
    import numpy as np

    errors = matrix - np.diag(np.diag(matrix))
    order = np.argsort(-errors, axis=None, kind="stable")[:NUM_CONFUSIONS]
    pairs = [divmod(int(flat), len(matrix)) for flat in order]
    rows = [[names[true], names[seen], int(errors[true, seen])] for true, seen in pairs if errors[true, seen]]
    return table(rows, ["true class", "taken for", "images"], align="llr", width=width) if rows else ""


def _flat(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Metrics that are one number; of a nested group, each as "group, name"."""
    flat: dict[str, Any] = {}
    for name, value in metrics.items():
        if name == "fidelity":
            flat[name] = value["class"]  # the errors that it is judged by stand there already
        elif isinstance(value, Mapping):
            if not name.endswith("_by_resolution"):
                flat |= {f"{name}, {inner}": part for inner, part in value.items()}
        else:
            flat[name] = value
    return flat


def _value(name: str, value: Any) -> str:
    return value if isinstance(value, str) else metric(name, value)


def _words(name: str) -> str:
    return _WORDS.get(name, name.replace("_", " "))


def _as_text(value: object) -> str | None:
    return None if value is None else str(value)


def _join(parts: Iterable[str]) -> str:
    return "\n\n".join(part for part in parts if part)

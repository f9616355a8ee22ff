"""An evaluation as `nnkit evaluate` prints it."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill
from typing import TYPE_CHECKING

from nnkit.present.layout import WIDTH, fits, joined, key_values, table
from nnkit.present.metrics import metric_pairs, resolutions_table
from nnkit.present.text import count, percent, shorten
from nnkit.results.evaluate import ClassScores, Counts, EvaluateResult

if TYPE_CHECKING:
    import numpy as np

MAX_MATRIX = 12
"""Most classes for which the confusion matrix is written out; beyond, the most frequent confusions are."""
NUM_CONFUSIONS = NUM_NAMED = 10


def evaluate_table(result: EvaluateResult, *, width: int = WIDTH) -> str:
    """Metrics, then each class, each resolution and the confusion matrix."""
    pairs: list[tuple[str, object]] = [
        ("run", result.run_dir),
        ("model", result.model),
        ("dataset", result.dataset),
        ("split", result.split),
        ("images", result.images),
        *metric_pairs(result.metrics),
    ]
    return joined(
        key_values(pairs, width=width),
        _classes(result.per_class, width),
        resolutions_table(result.metrics, width=width),
        _confusion(result.confusion.get("all", ()), result.class_names, width),
    )


def _classes(per_class: Sequence[ClassScores], width: int) -> str:
    if not per_class:
        return ""
    rows = [
        [shorten(row.name, 30), count(row.count), percent(row.precision), percent(row.recall)]
        for row in per_class
    ]
    heads = ["class", "images", "precision", "recall"]
    if not fits(rows, heads, "lrrr", width):
        heads = ["class", "n", "prec.", "recall"]
    return joined(table(rows, heads, align="lrrr", width=width), _without_images(per_class, width))


def _without_images(per_class: Sequence[ClassScores], width: int) -> str:
    """What the dashes of classes without an image mean: no right answer, and no wrong one."""
    missing = [shorten(row.name, 30) for row in per_class if not row.count]
    if not missing:
        return ""
    more = f" and {len(missing) - NUM_NAMED} more" if len(missing) > NUM_NAMED else ""
    return fill(f"No image of {', '.join(missing[:NUM_NAMED])}{more}: recall is not known.", width)


def _confusion(confusion: Counts, names: Sequence[str], width: int) -> str:
    if not confusion:
        return ""
    import numpy as np  # here: no other table needs it

    matrix = np.asarray(confusion)
    for limit in (8, 4) if len(matrix) <= MAX_MATRIX else ():
        known = [shorten(name, limit) for name in names]
        rows = [[name, *map(int, row)] for name, row in zip(known, matrix, strict=True)]
        heads, align = ["true", *known], "n" + "r" * len(known)
        if fits(rows, heads, align, width):
            said = "rows: true class, columns: predicted"
            return joined(said, table(rows, heads, align=align, width=width))
    return _confusions(matrix, [shorten(name, 30) for name in names], width)


def _confusions(matrix: np.ndarray, names: Sequence[str], width: int) -> str:
    import numpy as np

    errors = matrix - np.diag(np.diag(matrix))
    order = np.argsort(-errors, axis=None, kind="stable")[:NUM_CONFUSIONS]
    pairs = [divmod(int(flat), len(matrix)) for flat in order]
    rows = [[names[true], names[seen], int(errors[true, seen])] for true, seen in pairs if errors[true, seen]]
    return table(rows, ["true class", "taken for", "images"], align="llr", width=width) if rows else ""

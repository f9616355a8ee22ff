"""`nnkit compare-pooling`."""

from __future__ import annotations

from typing import Any

from nnkit.cli import options as o
from nnkit.cli import output


def compare_pooling(**values: Any) -> None:
    """Train a model with each pooling at one parameter budget over several seeds, and compare them.

    The epoch of each cell is chosen by validation. Test accuracies, evaluated once per cell, are compared in
    pairs of equal seeds. Exit 3 where some cells failed.

    Example: nnkit compare-pooling --dataset mnist-varres --pooling max --pooling avg --seeds 0-4 --epochs 15
    """
    given = o.read(values)
    from nnkit import api
    from nnkit.present.compare_pooling import comparison_table

    if given.dry_run:
        resolved = api.complete("compare-pooling", **given.layers)
        output.emit_dry_run("compare-pooling", resolved, as_json=given.json)
        return
    result = api.compare_pooling(progress=not given.quiet, **given.layers)
    output.emit(result.document(), comparison_table(result, width=output.width()), as_json=given.json)
    from nnkit.studies.compare_pooling.study import check_complete

    check_complete(result)

"""`nnkit evaluate`."""

from __future__ import annotations

from typing import Any

from nnkit.cli import options as o
from nnkit.cli import output


def evaluate(**values: Any) -> None:
    """Evaluate a run's best weights: metrics, per class, per resolution, confusion matrix.

    Example: nnkit evaluate runs/train/20261120-141800-mnist-mnist-convnet-3fa9c1 --split val
    """
    given = o.read(values)
    from nnkit import api
    from nnkit.present.evaluate import evaluate_table

    if given.dry_run:
        output.emit_dry_run("evaluate", api.complete("evaluate", **given.layers), as_json=given.json)
        return
    result = api.evaluate(**given.layers)
    output.emit(result.document(), evaluate_table(result, width=output.width()), as_json=given.json)
